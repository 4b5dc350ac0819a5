"""`python -m bench memory`: the indexer's memory for a video, and for the same video played twice."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import PeakMemory, machine
from bench.system import indexed, running
from bench.videos import bench_video, write_twice
from services.common.clients.indexer import IndexerClient


def memory(model: str) -> dict[str, Any]:
    """Peaks of the indexer and its decoding process together, each in a system of its own."""
    video = bench_video()
    with tempfile.TemporaryDirectory() as folder:
        twice = Path(folder) / "twice.mp4"
        write_twice(video, twice)
        peaks = [asyncio.run(_peak_mb(path, model)) for path in (video, twice)]
    names = ("rss_peak_mb", "rss_peak_twice_mb")
    return {**dict(zip(names, peaks, strict=True)), "video": video.name, "model": model, "machine": str(machine())}


async def _peak_mb(video: Path, model: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running(Path(folder), model, video.parent) as stack,
            IndexerClient(stack.addresses["indexer"]) as client,
        ):
            with PeakMemory(stack.services["indexer"].process.pid) as peak:
                await indexed(client, video)
    return round(peak.peak_bytes / 1e6, 1)
