"""Our own system, running, as the benchmarks use it."""

import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import PeakMemory
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.jobs import IndexJob, JobState
from tools.stack import Stack


@dataclass(frozen=True, slots=True)
class Indexing:
    """What it took to index a video."""

    seconds: float
    """From the request to the searchable video; the median where there were several runs."""
    scenes: int
    rss_peak_mb: float
    """Most memory of the indexer and its decoding process together, in any run."""


@asynccontextmanager
async def running(model: str, videos: Path) -> AsyncIterator[Stack]:
    """All services, with their data in a folder of their own; files under `videos` may be indexed."""
    settings = {"VIDEOSEARCH_EMBEDDER_MODEL": model, "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(videos)}
    with tempfile.TemporaryDirectory() as folder:
        async with Stack(Path(folder), log=lambda _name, _line: None, settings=settings) as stack:
            yield stack


async def indexed(stack: Stack, video: Path, runs: int = 1) -> Indexing:
    """Index a video, and again after deleting it until there have been `runs`."""
    async with IndexerClient(stack.addresses["indexer"]) as indexer, StoreClient(stack.addresses["store"]) as store:
        with PeakMemory(stack.services["indexer"].process.pid) as memory:
            seconds, job = await _index(indexer, video)
            timings = [seconds]
            while len(timings) < runs:
                await store.delete_video(job.video_id)
                seconds, job = await _index(indexer, video)
                timings.append(seconds)
    return Indexing(statistics.median(timings), job.scene_count, round(memory.peak_bytes / 1e6, 1))


async def _index(indexer: IndexerClient, video: Path) -> tuple[float, IndexJob]:
    begun = time.perf_counter()
    job = await indexer.index_video(str(video))
    async for state in indexer.watch_job(job.job_id):
        job = state
    if job.state is not JobState.SUCCEEDED:
        raise RuntimeError(f"indexing {video} {job.state}: {job.error}")
    return time.perf_counter() - begun, job
