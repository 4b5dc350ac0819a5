"""`python -m services.indexer`: the indexer service."""

from contextlib import AsyncExitStack
from functools import partial

from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.server import Server, run, until_stopped
from services.indexer.jobs import Jobs
from services.indexer.pipeline import Pipeline
from services.indexer.runner import Runner
from services.indexer.servicer import IndexerServicer
from services.indexer.settings import IndexerSettings
from services.indexer.sources import DownloadLimits, Sources
from videosearch.v1 import indexer_pb2_grpc


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
        add = partial(indexer_pb2_grpc.add_IndexerServiceServicer_to_server, IndexerServicer(jobs, runner))
        server = await stack.enter_async_context(Server(settings, IndexerClient.service, add))
        await server.ready()
        await until_stopped(runner.run())


if __name__ == "__main__":
    run(IndexerSettings, serve)
