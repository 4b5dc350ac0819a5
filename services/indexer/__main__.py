"""`python -m services.indexer`: the indexer service."""

from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.server import Server, run, until_stopped
from services.indexer import metrics
from services.indexer.database import Database
from services.indexer.digests import Digests
from services.indexer.download import Downloads
from services.indexer.images import ImageRule
from services.indexer.jobs import Jobs
from services.indexer.leases import Leases
from services.indexer.limits import Limits
from services.indexer.objects import Objects
from services.indexer.pipeline import Pipeline
from services.indexer.runner import Runner
from services.indexer.servicer import IndexerServicer
from services.indexer.settings import IndexerSettings
from services.indexer.sources import LocalFiles, Sources
from services.indexer.spool import Spool
from services.indexer.uploads import Uploads
from videosearch.v1 import indexer_pb2_grpc


async def serve(settings: IndexerSettings) -> None:
    async with AsyncExitStack() as stack:
        database = Database(settings.data_folder)
        stack.callback(database.close)
        jobs = Jobs(database, settings.max_queued_jobs)
        embedder = await stack.enter_async_context(EmbedderClient(settings.embedder_address, settings.credentials))
        store = await stack.enter_async_context(StoreClient(settings.store_address, settings.credentials))
        sources = _sources(settings, Digests(database))
        rule = ImageRule(settings.images, settings.min_image_side)
        pipeline = Pipeline(sources, embedder, store, settings.patience_s, _limits(settings), rule)
        leases = Leases(database, settings.max_attempts)
        history = timedelta(days=settings.history_days)
        runner = Runner(jobs, leases, pipeline, settings.max_running_jobs, history)
        servicer = IndexerServicer(jobs, runner, Uploads(sources.spool, jobs, runner))
        add = partial(indexer_pb2_grpc.add_IndexerServiceServicer_to_server, servicer)
        stack.enter_context(metrics.WORK.of(lambda: _work(jobs, sources.spool)))
        server = await stack.enter_async_context(Server(settings, IndexerClient.service, add))
        await server.ready()
        await until_stopped(runner.run())


def _sources(settings: IndexerSettings, digests: Digests) -> Sources:
    return Sources(
        files=LocalFiles(settings.video_roots),
        downloads=Downloads(settings.allowed_hosts, settings.private_networks),
        objects=Objects(settings.object_prefixes),
        spool=Spool(settings.data_folder / "spool", settings.max_spool_bytes, settings.max_video_bytes),
        digests=digests,
        max_download_s=settings.max_download_s,
    )


def _work(jobs: Jobs, spool: Spool) -> metrics.Work:
    return metrics.Work(jobs.counts(), spool.taken_bytes, spool.max_bytes)


def _limits(settings: IndexerSettings) -> Limits:
    return Limits(
        memory_bytes=settings.max_decode_memory_bytes,
        silence_s=settings.max_silence_s,
        frame_pixels=settings.max_frame_pixels,
        frames=settings.max_frames,
        duration_s=settings.max_video_duration_s,
    )


if __name__ == "__main__":
    run(IndexerSettings, serve)
