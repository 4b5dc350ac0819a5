"""`python -m services.indexer`: the indexer service."""

import asyncio
from contextlib import AsyncExitStack

from services.common.clients.embedder import EmbedderClient
from services.common.clients.store import StoreClient
from services.common.server import Server, run, until_stopped
from services.indexer.jobs import Jobs
from services.indexer.pipeline import Pipeline
from services.indexer.runner import Runner
from services.indexer.servicer import IndexerServicer
from services.indexer.settings import IndexerSettings
from services.indexer.sources import DownloadLimits, Sources
from videosearch.v1.indexer_pb2_grpc import add_IndexerServiceServicer_to_server


async def serve(settings: IndexerSettings) -> None:
    async with AsyncExitStack() as stack:
        jobs = Jobs(settings.data_folder, settings.max_queued_jobs)
        stack.callback(jobs.close)
        embedder = await stack.enter_async_context(EmbedderClient(settings.embedder_address))
        store = await stack.enter_async_context(StoreClient(settings.store_address))
        limits = DownloadLimits(settings.max_download_bytes, settings.max_download_s)
        downloads = settings.data_folder / "downloads"
        sources = Sources(settings.video_roots, settings.allowed_hosts, downloads, limits)
        runner = Runner(jobs, Pipeline(sources, embedder, store, settings.patience_s), settings.max_running_jobs)
        servicer = IndexerServicer(jobs, runner, sources)
        server = Server(
            settings,
            "videosearch.v1.IndexerService",
            lambda grpc_server: add_IndexerServiceServicer_to_server(servicer, grpc_server),
        )
        async with server:
            working = asyncio.create_task(runner.run())
            await server.ready()
            await _until_stopped_or_failed(working)


async def _until_stopped_or_failed(working: asyncio.Task[None]) -> None:
    """Return when the service is told to stop; raise what ended the work, should it end by itself."""
    stopped = asyncio.create_task(until_stopped())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        stopped.cancel()
        await working
    working.cancel()
    await asyncio.wait({working})


if __name__ == "__main__":
    run(IndexerSettings, serve)
