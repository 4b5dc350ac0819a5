"""Our own system, running, as the benchmarks use it."""

import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import PeakMemory
from services.common.clients.channel import ANONYMOUS
from services.common.clients.credentials import Credentials
from services.common.clients.indexer import IndexerClient
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
async def running(
    model: str, videos: Path, more: Mapping[str, str] | None = None, credentials: Credentials = ANONYMOUS
) -> AsyncIterator[Stack]:
    """All services, with their data in a folder of their own; files under `videos` may be indexed.

    `more` settings may ask for credentials.
    """
    settings = {"VIDEOSEARCH_EMBEDDER_MODEL": model, "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(videos), **(more or {})}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        async with Stack(data, log=lambda _name, _line: None, settings=settings, credentials=credentials) as stack:
            yield stack


async def indexed(stack: Stack, video: Path, runs: int = 1) -> Indexing:
    """Index a video, whether or not it was before, so many times."""
    async with IndexerClient(stack.addresses["indexer"]) as indexer:
        with PeakMemory(stack.services["indexer"].process.pid) as memory:
            timings = []
            for _ in range(runs):
                begun = time.perf_counter()
                job = await _ended(indexer, await indexer.index_video(str(video), force=True))
                timings.append(time.perf_counter() - begun)
    return Indexing(statistics.median(timings), job.scene_count, round(memory.peak_bytes / 1e6, 1))


async def indexed_at_once(stack: Stack, videos: Sequence[Path]) -> float:
    """Seconds from the first request until all are searchable; one that is named again is another video each time."""
    begun = time.perf_counter()
    async with IndexerClient(stack.addresses["indexer"]) as indexer:
        jobs = [await indexer.index_video(str(video), video_id=uuid.uuid4().hex) for video in videos]
        for job in jobs:
            await _ended(indexer, job)
    return time.perf_counter() - begun


async def _ended(indexer: IndexerClient, job: IndexJob) -> IndexJob:
    async for state in indexer.watch_job(job.job_id):
        job = state
    if job.state is not JobState.SUCCEEDED:
        raise RuntimeError(f"indexing {job.uri} {job.state}: {job.error}")
    return job
