"""`python -m bench soak`: the indexer's memory over many videos in a row."""

import asyncio
from typing import Any

import psutil

from bench.measure import machine, resident_bytes
from bench.system import indexed_at_once, running
from tools.samples import sample_videos

VIDEOS, STEP = 200, 20


def soak(model: str) -> dict[str, Any]:
    """What the indexer holds after each STEP videos, while none is being indexed."""
    return {
        "videos": VIDEOS,
        "rss_mb": asyncio.run(_resident_mb(model)),
        "rss_after_videos": list(range(STEP, VIDEOS + 1, STEP)),
        "model": model,
        "machine": machine(),
    }


async def _resident_mb(model: str) -> list[float]:
    samples = sample_videos()
    found = []
    async with running(model, samples[0].parent) as stack:
        process = psutil.Process(stack.services["indexer"].process.pid)
        for first in range(0, VIDEOS, STEP):
            await indexed_at_once(stack, [samples[n % len(samples)] for n in range(first, first + STEP)])
            found.append(round(resident_bytes(process) / 1e6, 1))
    return found
