"""The real indexer on loopback with the real store, and an embedder that knows colors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np

from services.common import convert, vectors
from services.common.clients.channel import ANONYMOUS
from services.common.clients.credentials import Credentials
from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.jobs import IndexJob
from services.common.media import Model
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
from services.indexer.sources import LocalFiles, Sources
from services.indexer.spool import Spool
from services.indexer.uploads import Uploads
from tests.servers import serving
from tests.stores import store
from videosearch.v1 import embedder_pb2, embedder_pb2_grpc, indexer_pb2_grpc

MODEL = Model("colors", "colors-1", 3, 64, 1, 0.0, "cpu", "float32", "torch")


class ColorEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    """An image's embedding is the direction of its mean color. Clear `going` to make image calls wait.

    It clears itself once `pause_at` images are embedded.
    """

    def __init__(self) -> None:
        self.fingerprint = MODEL.fingerprint
        self.going = asyncio.Event()
        self.going.set()
        self.asked = asyncio.Event()
        self.image_count = 0
        self.pause_at = -1
        self.paused = asyncio.Event()

    async def GetModel(self, request, context):
        return embedder_pb2.GetModelResponse(model=convert.model_to(replace(MODEL, fingerprint=self.fingerprint)))

    async def EmbedImages(self, request, context):
        self.asked.set()
        await self.going.wait()
        self.image_count += len(request.images)
        if 0 <= self.pause_at <= self.image_count:
            self.going.clear()
            self.paused.set()
        return embedder_pb2.EmbedImagesResponse(embeddings=[self._embed(image) for image in request.images])

    def _embed(self, image):
        color = _pixels(image).mean(axis=(0, 1)) + 1
        return convert.embedding_to(vectors.normalize(color), self.fingerprint)


def _pixels(image):
    """RGB, (H, W, 3)."""
    if image.encoded:
        return cv2.imdecode(np.frombuffer(image.encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return np.frombuffer(image.raw.rgb, np.uint8).reshape(image.raw.height, image.raw.width, 3)


@dataclass(frozen=True)
class Indexing:
    client: IndexerClient
    store: StoreClient
    root: Path
    working: asyncio.Task[None]
    """The work of the runner, which the service cancels when it stops."""

    async def ended(self, path: Path | str, **arguments) -> IndexJob:
        """Index a file; the job when it has ended."""
        job = await self.client.index_video(str(path), **arguments)
        return await self.end_of(job.job_id)

    async def end_of(self, job_id: str) -> IndexJob:
        *_, job = [state async for state in self.client.watch_job(job_id)]
        return job


def embedder_serving(embedder: ColorEmbedder, listen: str = "127.0.0.1:0") -> AbstractAsyncContextManager[str]:
    add = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
    return serving(EmbedderClient.service, add, embedder, listen=listen)


@asynccontextmanager
async def indexing(
    folder: Path,
    embedder_address: str,
    store_address: str = "",
    *,
    patience_s: float = 10.0,
    max_queued: int = 100,
    max_running: int = 1,
    max_attempts: int = 1,
    limits: Limits | None = None,
    rule: ImageRule | None = None,
    credentials: Credentials = ANONYMOUS,
) -> AsyncIterator[Indexing]:
    """Indexer, and store unless there is one, with data under `folder`; `folder / "videos"` may be indexed."""
    root = folder / "videos"
    root.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        videos = await stack.enter_async_context(
            StoreClient(store_address) if store_address else store(folder / "store")
        )
        embedder = await stack.enter_async_context(EmbedderClient(embedder_address, credentials))
        database = Database(folder / "indexer")
        stack.callback(database.close)
        jobs = Jobs(database, max_queued)
        spool = Spool(folder / "indexer" / "spool", 10**7, 10**6)
        sources = Sources(LocalFiles([root]), Downloads([], []), Objects([]), spool, Digests(database), 10.0)
        pipeline = Pipeline(sources, embedder, videos, patience_s, limits or Limits(), rule or ImageRule())
        runner = Runner(jobs, Leases(database, max_attempts), pipeline, max_running, timedelta(days=1))
        servicer = IndexerServicer(jobs, runner, Uploads(spool, jobs, runner))
        add = indexer_pb2_grpc.add_IndexerServiceServicer_to_server
        address = await stack.enter_async_context(serving(IndexerClient.service, add, servicer))
        client = await stack.enter_async_context(IndexerClient(address))
        working = asyncio.create_task(runner.run())
        try:
            yield Indexing(client, videos, root, working)
        finally:
            working.cancel()
            await asyncio.wait({working})
