"""A caller that leaves, or whose time is over, stops the work on every service behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.common import call, vectors
from services.common.clients.embedder import EmbedderClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import DeadlineError
from services.common.ranking import SceneRanking
from services.embedder.embedder import Embedder, Limits
from services.embedder.servicer import EmbedderServicer
from services.store.backup import PIECE_BYTES
from services.store.catalog import Catalog
from tests.encoders import CountingEncoder, steady_clock
from tests.searches import search_with
from tests.servers import serving
from tests.stores import scene, store, video
from videosearch.v1 import embedder_pb2_grpc

LIMITS = Limits(max_batch=4, max_queue=300, max_queue_bytes=1 << 20, max_image_pixels=10_000)
TIME_S = 1.0


class Held(Catalog):
    """Its searches wait, and its backups never end."""

    begun, released, backup_left = threading.Event(), threading.Event(), threading.Event()

    def find_scenes(self, query, ranking):
        self.begun.set()
        assert self.released.wait(10)
        return super().find_scenes(query, ranking)

    def backup(self) -> Iterator[bytes]:
        try:
            while True:
                yield bytes(PIECE_BYTES)
        finally:
            self.backup_left.set()


@dataclass(frozen=True, slots=True)
class Chain:
    search: SearchClient
    embedder: EmbedderClient
    store: StoreClient
    encoder: CountingEncoder


@pytest.fixture
async def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chain]:
    steady_clock(monkeypatch)
    for event in (Held.begun, Held.released, Held.backup_left):
        event.clear()
    async with embedding(encoder := CountingEncoder()) as embedder, store(tmp_path, Held) as videos:
        await videos.put_video(video(model=encoder.model.fingerprint), [scene(0, vectors.normalize([[1.0, 2, 3]]))])
        async with search_with(embedder.address, videos.address) as client:
            yield Chain(client, embedder, videos, encoder)
            encoder.gate.set()
            Held.released.set()


@asynccontextmanager
async def embedding(encoder: CountingEncoder) -> AsyncIterator[EmbedderClient]:
    async with Embedder(LIMITS) as embedder:
        await embedder.load(lambda: [encoder])
        encoder.forget()
        add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
        async with serving(EmbedderClient.service, add) as address, EmbedderClient(address) as client:
            yield client


async def leave(asking: asyncio.Task[object]) -> None:
    asking.cancel()
    await asyncio.wait((asking,))


async def run_out_of_time(asking: asyncio.Task[object]) -> None:
    with pytest.raises(DeadlineError):
        await asking


def asked(chain: Chain) -> asyncio.Task[object]:
    """A search, whose caller has little time."""

    async def ask() -> object:
        call.begin(remaining_s=TIME_S)
        return await chain.search.search_scenes("rain", SceneRanking())

    return asyncio.create_task(ask())


async def until(reached: Callable[[], bool]) -> None:
    """Of counters, which tell nobody."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def running(method: str) -> float:
    return REGISTRY.get_sample_value("videosearch_rpcs_running", {"method": f"/videosearch.v1.{method}"}) or 0


def stopped(stage: str) -> float:
    return REGISTRY.get_sample_value("videosearch_work_stopped_total", {"stage": stage}) or 0


def done(stage: str) -> float:
    return REGISTRY.get_sample_value("videosearch_stage_seconds_count", {"stage": stage}) or 0


@pytest.mark.parametrize("end", [leave, run_out_of_time])
async def test_what_waits_for_the_model_is_dropped_and_the_store_is_never_asked(chain, end):
    before, chosen = stopped("embed"), done("choose")
    chain.encoder.gate.clear()
    first = asyncio.create_task(chain.embedder.embed_texts(["first"]))
    await asyncio.to_thread(chain.encoder.reached.wait, 10)
    asking = asked(chain)
    await until(lambda: running("EmbedderService/EmbedTexts") == 2)
    await end(asking)
    await until(lambda: stopped("embed") == before + 1)
    chain.encoder.gate.set()
    await first
    await chain.embedder.embed_texts(["last"])
    assert chain.encoder.batches == [["first"], ["last"]]
    assert done("choose") == chosen


@pytest.mark.parametrize("end", [leave, run_out_of_time])
async def test_what_the_store_works_on_is_given_up_before_it_scores_anything(chain, end):
    before, scored = stopped("search"), done("score")
    asking = asked(chain)
    await asyncio.to_thread(Held.begun.wait, 10)
    await end(asking)
    await until(lambda: not running("StoreService/FindScenes"))
    Held.released.set()
    await until(lambda: stopped("search") == before + 1)
    assert done("score") == scored


async def test_a_backup_ends_when_its_caller_leaves(chain):
    pieces = chain.store.backup()
    await anext(pieces)
    await pieces.aclose()
    assert await asyncio.to_thread(Held.backup_left.wait, 10)
