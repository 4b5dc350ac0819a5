"""What is measured while real work is done, as Prometheus reads it."""

import asyncio

import pytest

from services.common import exposition
from services.common.clients.embedder import EmbedderClient
from services.common.errors import StartupError
from services.common.metrics import Gauges, Seen
from services.common.ranking import VideoRanking
from services.common.server import Server
from services.common.settings import ServerSettings
from services.embedder.embedder import Embedder, Limits
from services.embedder.metrics import BURDEN
from services.embedder.servicer import EmbedderServicer
from services.store.settings import StoreSettings
from tests.encoders import CountingEncoder
from tests.indexers import Indexing
from tests.scrapes import growing, scrape
from tests.searches import searching
from tests.servers import serving
from tests.videos import write_audio, write_video
from videosearch.v1 import embedder_pb2_grpc

SCENES = [40, 30, 50]
FIND_VIDEOS = "/videosearch.v1.StoreService/FindVideos"


async def test_a_video_on_its_way_in_is_counted_frame_by_frame_and_stage_by_stage(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    async with growing() as growth:
        await world.ended(film.path)
        await world.ended(film.path)
        assert await growth.of("indexer_frames_total", "indexer_scenes_total") == [sum(SCENES), len(SCENES)]
        outcomes = [await growth.of("indexer_videos_total", outcome=one) for one in ("indexed", "unchanged")]
        assert outcomes == [[1], [1]]
        assert await growth.of("indexer_attempts_total", outcome="succeeded") == [2]
        stages = ("fetch", "decode", "store", "commit")
        counts = [await growth.of("stage_seconds_count", stage=stage) for stage in stages]
        assert counts == [[2], [1], [1], [1]]
        assert (await growth.of("stage_seconds_sum", stage="decode"))[0] > 0


async def test_an_attempt_that_fails_is_counted_as_such(world: Indexing) -> None:
    sound = write_audio(world.root / "sound.mp4")
    async with growing() as growth:
        await world.ended(sound)
        assert await growth.of("indexer_attempts_total", outcome="failed") == [1]
        assert await growth.of("indexer_frames_total") == [0]


async def test_the_bytes_of_an_upload_are_counted(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    async with growing() as growth:
        job = await world.client.upload_video(film.path)
        await world.end_of(job.job_id)
        assert await growth.of("indexer_received_bytes_total", way="upload") == [film.path.stat().st_size]


async def test_a_query_is_told_from_one_that_is_remembered(tmp_path) -> None:
    async with searching(tmp_path) as world, growing() as growth:
        for _ in range(3):
            await world.client.search_videos("a rabbit wakes", VideoRanking())
        texts = [await growth.of("search_texts_total", source=source) for source in ("embedded", "remembered")]
        answers = [await growth.of("store_answers_total", source=source) for source in ("made", "remembered")]
        assert (texts, answers) == ([[1], [2]], [[1], [2]])
        stages = [await growth.of("stage_seconds_count", stage=stage) for stage in ("embed", "find", "rank", "score")]
        assert stages == [[3], [3], [1], [1]]
        assert await growth.of("rpc_seconds_count", method=FIND_VIDEOS, code="OK") == [3]
        assert await growth.of("peer_rpc_seconds_count", method=FIND_VIDEOS, code="OK") == [3]


async def test_work_that_serves_several_is_counted(tmp_path) -> None:
    async with searching(tmp_path) as world, growing() as growth:
        world.embedder.gate.clear()
        asked = [asyncio.create_task(world.client.search_videos("rain", VideoRanking())) for _ in range(4)]
        await world.until_begun(4)
        world.embedder.gate.set()
        await asyncio.gather(*asked)
        assert await growth.of("search_shared_total") == [3]


async def test_the_embedder_s_queue_is_seen_while_it_is_full_and_its_batches_afterwards() -> None:
    encoder = CountingEncoder()
    async with Embedder(Limits(4, 100, 1 << 20, 10_000)) as embedder, growing() as growth:
        await embedder.load(lambda: [encoder])
        add = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
        encoder.forget()
        encoder.gate.clear()
        try:
            async with serving(EmbedderClient.service, add, EmbedderServicer(embedder)) as address:
                with BURDEN.of(embedder.burden):
                    await _crowd(address, encoder, growth.port)
                assert (await scrape(growth.port)).value("embedder_replicas") is None
        finally:
            encoder.gate.set()
        assert await growth.of("embedder_batch_items_sum", lane="texts") == [1 + 20]
        (batches,) = await growth.of("embedder_batch_items_count", lane="texts")
        assert await growth.of("embedder_model_seconds_count", lane="texts") == [batches]
        assert await growth.of("stage_seconds_count", stage="model") == [2]


async def _crowd(address: str, encoder: CountingEncoder, port: int) -> None:
    async with EmbedderClient(address) as client:
        first = asyncio.create_task(client.embed_texts(["first"]))
        await asyncio.to_thread(encoder.reached.wait)
        others = asyncio.create_task(client.embed_texts(["x"] * 20))
        while (seen := await scrape(port)).value("embedder_waiting_items", lane="texts") != 20:
            pass
        assert seen.value("embedder_waiting_items", lane="images") == 0
        assert (seen.value("embedder_accepted_items"), seen.value("embedder_max_accepted_items")) == (21, 100)
        assert seen.value("embedder_replicas") == 1
        encoder.gate.set()
        await asyncio.gather(first, others)
        seen = await scrape(port)
        assert (seen.value("embedder_waiting_items", lane="texts"), seen.value("embedder_accepted_items")) == (0, 0)


async def test_what_cannot_be_looked_at_is_absent_and_all_else_is_told(caplog) -> None:
    gauges = Gauges[int](Seen("videosearch_test_level", "A level.", lambda level: 10 / level))
    with exposition.serving("127.0.0.1:0", "LISTEN") as port:
        assert (await scrape(port)).value("test_level") is None
        with gauges.of(lambda: 4):
            assert (await scrape(port)).value("test_level") == 2.5
        with gauges.of(lambda: 0):
            seen = await scrape(port)
        assert (seen.value("test_level"), seen.value("serving") is None) == (None, False)
        assert (await scrape(port)).value("test_level") is None
    assert [record.reason for record in caplog.records] == ["division by zero"]


async def test_a_taken_metrics_port_stops_the_start_in_one_line_with_the_setting() -> None:
    with exposition.serving("127.0.0.1:0", "LISTEN") as port:
        settings = StoreSettings(listen="127.0.0.1:0", metrics_listen=f"127.0.0.1:{port}")
        with pytest.raises(StartupError, match=f"VIDEOSEARCH_STORE_METRICS_LISTEN=127.0.0.1:{port}: .*taken") as failed:
            async with Server(settings, EmbedderClient.service, lambda server: None):
                pass
    assert "\n" not in str(failed.value)


async def test_metrics_are_served_until_the_service_has_drained() -> None:
    settings = ServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", grace_s=0)
    async with Server(settings, EmbedderClient.service, lambda server: None) as server:
        assert (await scrape(server.metrics_port)).value("serving") == 0
        await server.ready()
        assert (await scrape(server.metrics_port)).value("serving") == 1
    with pytest.raises(OSError, match="refused"):
        await scrape(server.metrics_port)
