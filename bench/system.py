"""Our own system, running, as the benchmarks use it."""

import time
from pathlib import Path

from services.common.clients.indexer import IndexerClient
from services.common.jobs import JobState
from tools.stack import Stack


def running(folder: Path, model: str, videos: Path) -> Stack:
    """All services, with their data under `folder`; files under `videos` may be indexed."""
    settings = {"VIDEOSEARCH_EMBEDDER_MODEL": model, "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": f"{videos}:{folder}"}
    return Stack(folder, log=lambda _name, _line: None, settings=settings)


async def indexed(indexer: IndexerClient, video: Path) -> tuple[float, int]:
    """Seconds from the request to the searchable video, and its scenes."""
    begun = time.perf_counter()
    job = await indexer.index_video(str(video))
    async for state in indexer.watch_job(job.job_id):
        job = state
    if job.state is not JobState.SUCCEEDED:
        raise RuntimeError(f"indexing {video} {job.state}: {job.error}")
    return time.perf_counter() - begun, job.scene_count
