"""The indexer, killed at random moments of its work, with the real store and an embedder that knows colors.

The environment may set CRASH_KILLS to ask for more of them, and CRASH_SEED to repeat a run.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.errors import UnavailableError
from services.common.jobs import IndexJob, JobState
from services.common.media import VideoFilter
from services.common.ranking import SceneRanking
from services.store.catalog import Catalog
from services.store.servicer import StoreServicer
from tests.indexers import MODEL, ColorEmbedder, embedder_serving
from tests.servers import serving
from tests.stores import query_of
from tests.videos import SyntheticVideo, write_video
from tools.stack import Service, free_addresses
from videosearch.v1.store_pb2_grpc import add_StoreServiceServicer_to_server

KILLS = int(os.environ.get("CRASH_KILLS", "50"))
SEED = int(os.environ.get("CRASH_SEED", random.randrange(10**9)))
FILMS = 12
FATAL = ("starting", "any time", "reading", "indexing", "storing", "stored")
"""What happens before a kill; when exactly that comes is left to chance."""
GRAY = np.full(3, 3**-0.5, np.float32)

Moments = asyncio.Queue[str]


class WatchedEmbedder(ColorEmbedder):
    """Tells when it is asked, and takes its time."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self._moments = moments

    async def GetModel(self, request, context):
        self._moments.put_nowait("reading")
        return await super().GetModel(request, context)

    async def EmbedImages(self, request, context):
        self._moments.put_nowait("indexing")
        await asyncio.sleep(0.02)  # a model at work
        return await super().EmbedImages(request, context)


class WatchedStore(StoreServicer):
    """Tells when a put begins and when it is through, while the indexer does not know it yet."""

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self._moments = moments

    async def PutVideo(self, request_iterator, context):
        self._moments.put_nowait("storing")
        response = await super().PutVideo(request_iterator, context)
        self._moments.put_nowait("stored")
        return response


@dataclass(frozen=True)
class World:
    folder: Path
    films: list[SyntheticVideo]
    environment: dict[str, str]
    address: str
    store: StoreClient
    embedder: ColorEmbedder
    moments: Moments

    def process(self) -> Service:
        return Service("indexer", self.address, self.environment, log=lambda name, line: None)

    @asynccontextmanager
    async def indexer(self) -> AsyncIterator[tuple[Service, IndexerClient]]:
        service = self.process()
        await service.start()
        try:
            await service.ready()
            async with IndexerClient(self.address) as client:
                yield service, client
        finally:
            await service.stop()

    async def begin(self, client: IndexerClient, number: int) -> IndexJob:
        """Index the next film, as a caller does who may have asked before; every third one is sent."""
        path = self.films[number % FILMS].path
        wanted: dict[str, Any] = {"video_id": f"v{number}", "request_id": f"r{number}"}
        return await (
            client.upload_video(path, **wanted) if number % 3 == 2 else client.index_video(str(path), **wanted)
        )

    async def content(self, video_id: str) -> tuple[list, list[float]]:
        """A video's scenes, and what their embeddings are like."""
        scenes = (await self.store.scenes(video_id, 1000)).items
        ranking = SceneRanking(top_k=1000, video_filter=VideoFilter(frozenset({video_id})))
        hits = (await self.store.find_scenes(query_of(GRAY, MODEL.fingerprint), ranking)).hits
        spans = [(scene.segment, [sample.offset_ns for sample in scene.samples]) for scene in scenes]
        return spans, [hit.score for hit in sorted(hits, key=lambda hit: hit.ordinal)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    folder, moments = tmp_path / "videos", Moments()
    folder.mkdir()
    films = [write_video(folder / f"{n}.mp4", [20 + (n + scene) % 7 for scene in range(16)]) for n in range(FILMS)]
    embedder, store, addresses = WatchedEmbedder(moments), WatchedStore(moments), free_addresses()
    add = partial(add_StoreServiceServicer_to_server, store)
    async with AsyncExitStack() as stack:
        store.use(stack.enter_context(Catalog(tmp_path / "store")))
        environment = {
            "VIDEOSEARCH_INDEXER_LISTEN": addresses["indexer"],
            "VIDEOSEARCH_INDEXER_DATA_FOLDER": str(tmp_path / "indexer"),
            "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(folder),
            "VIDEOSEARCH_INDEXER_MAX_RUNNING_JOBS": "2",
            "VIDEOSEARCH_EMBEDDER_ADDRESS": await stack.enter_async_context(embedder_serving(embedder)),
            "VIDEOSEARCH_STORE_ADDRESS": await stack.enter_async_context(serving(StoreClient.service, add)),
        }
        client = await stack.enter_async_context(StoreClient(environment["VIDEOSEARCH_STORE_ADDRESS"]))
        yield World(tmp_path, films, environment, addresses["indexer"], client, embedder, moments)


@pytest.mark.timeout(120 + 10 * KILLS)
async def test_whatever_is_killed_is_indexed_in_the_end_once_and_whole(world: World) -> None:
    chance, killed_at = random.Random(SEED), Counter[str]()
    for number in range(KILLS):
        fatal = FATAL[number % len(FATAL)]
        if fatal == "starting":
            killed_at[fatal] += 1
            await kill_at_start(world, chance)
            continue
        async with world.indexer() as (indexer, client):
            killed_at[await until(fatal, client, world, number, chance)] += 1
            await indexer.kill()
    async with world.indexer() as (_, client):
        ended = [await end_of(client, await world.begin(client, number)) for number in range(KILLS)]
        assert Counter(job.state for job in ended) == {JobState.SUCCEEDED: KILLS}, f"seed {SEED}"
        undisturbed = await asyncio.gather(*(undisturbed_content(world, client, n) for n in range(FILMS)))
    assert set(killed_at) >= set(FATAL[2:]), f"seed {SEED}"
    assert sum(job.attempt_count for job in ended) > KILLS
    assert (await world.store.stats()).video_count == KILLS + FILMS
    for number in range(KILLS):
        spans, likeness = await world.content(f"v{number}")
        assert spans == undisturbed[number % FILMS][0], f"v{number} is not whole; seed {SEED}"
        assert likeness == pytest.approx(undisturbed[number % FILMS][1], abs=1e-3)
    assert list((world.folder / "indexer" / "spool").iterdir()) == []
    assert [process for process in psutil.process_iter() if is_decoder(process, world.folder)] == []


async def kill_at_start(world: World, chance: random.Random) -> None:
    indexer = world.process()
    await indexer.start()
    await asyncio.sleep(chance.uniform(0.5, 1.5))
    await indexer.kill()


async def until(fatal: str, client: IndexerClient, world: World, number: int, chance: random.Random) -> str:
    """Begin the next job, and return when the indexer is to die: some time after what is to happen before."""
    while not world.moments.empty():
        world.moments.get_nowait()
    beginning = asyncio.create_task(world.begin(client, number))
    moment = "any time"
    with suppress(TimeoutError):
        async with asyncio.timeout(chance.uniform(0, 0.6) if fatal == "any time" else 20):
            while moment != fatal or fatal == "any time":
                moment = await world.moments.get()
    await asyncio.sleep(chance.choice([0, chance.uniform(0, 0.02), chance.uniform(0, 0.2)]))
    beginning.cancel()
    with suppress(asyncio.CancelledError, UnavailableError):
        await beginning
    return moment


async def undisturbed_content(world: World, client: IndexerClient, number: int) -> tuple[list, list[float]]:
    job = await client.index_video(str(world.films[number].path), video_id=f"undisturbed-{number}")
    assert (await end_of(client, job)).state is JobState.SUCCEEDED
    return await world.content(f"undisturbed-{number}")


async def end_of(client: IndexerClient, job: IndexJob) -> IndexJob:
    return [state async for state in client.watch_job(job.job_id)][-1]


def is_decoder(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return "services.indexer.decoder" in command and str(folder) in command
    return False
