"""`python -m bench memory`: the indexer's memory for a video, and for the same video played twice."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import machine
from bench.system import indexed, running
from bench.videos import write_repeated


def memory(model: str, video: Path) -> dict[str, Any]:
    """Peaks of the indexer and its decoding process together, each in a system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        twice = Path(folder) / "twice.mp4"
        write_repeated(video, twice, 2)
        once_mb, twice_mb = (asyncio.run(_peak_mb(model, path)) for path in (video, twice))
    return {
        "rss_peak_mb": once_mb,
        "rss_peak_twice_mb": twice_mb,
        "video": video.name,
        "model": model,
        "machine": machine(),
    }


async def _peak_mb(model: str, video: Path) -> float:
    async with running(model, video.parent) as stack:
        return (await indexed(stack, video)).rss_peak_mb
