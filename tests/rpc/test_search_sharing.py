"""What searches save each other: texts are remembered, and what is asked at the same time is done once."""

import asyncio
import logging
from collections import Counter

import grpc
import pytest

from services.common.errors import NotFoundError, OverloadedError, PreconditionError
from services.common.ranking import ImagePart, SceneRanking, TextPart, VideoRanking
from tests.searches import searching
from tests.standins import fill, scenes_of
from tests.stores import video
from videosearch.v1 import search_pb2

RAIN = search_pb2.SearchScenesRequest(text="rain")


@pytest.fixture
async def world(tmp_path):
    async with searching(tmp_path) as world:
        yield world


async def test_a_text_is_embedded_once_whatever_it_is_asked_for(world):
    await world.client.search_scenes("rain", SceneRanking())
    await world.client.search_scenes("rain", SceneRanking(top_k=3))
    await world.client.search_videos((TextPart(" rain", -2),), VideoRanking())
    await world.client.timeline("street", "rain")
    assert world.embedder.texts == [["rain"]]


async def test_of_several_texts_only_the_new_ones_are_embedded(world):
    await world.client.search_scenes("rain", SceneRanking())
    await world.client.search_scenes((TextPart("snow"), TextPart("rain"), TextPart("fog")), SceneRanking())
    assert world.embedder.texts == [["rain"], ["snow", "fog"]]


async def test_images_are_embedded_each_time(world):
    for _ in range(2):
        await world.client.search_scenes((ImagePart(b"rain"),), SceneRanking())
    assert world.embedder.images == [[b"rain"]] * 2


async def test_the_same_asked_by_many_at_the_same_time_is_done_once(world, caplog):
    caplog.set_level(logging.INFO, "services.rpc")
    world.embedder.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(world.client.search_scenes("rain", SceneRanking())) for _ in range(20)]
        await world.until_begun(20)
        world.embedder.gate.set()
    assert all(task.result() == asking[0].result() for task in asking)
    methods = [record.method.rpartition("/")[2] for record in caplog.records if record.message == "call"]
    assert Counter(methods) == {"EmbedTexts": 1, "FindScenes": 1, "SearchScenes": 20}
    assert world.embedder.texts == [["rain"]]


async def test_the_same_text_asked_for_different_things_at_the_same_time_is_embedded_once(world):
    world.embedder.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.client.search_videos("rain", VideoRanking()))
        await world.embedder.reached.acquire()
        tasks.create_task(world.client.search_scenes("rain", SceneRanking()))
        tasks.create_task(world.client.timeline("street", "rain"))
        await world.until_begun(3)
        world.embedder.gate.set()
    assert world.embedder.texts == [["rain"]]


async def test_one_who_goes_leaves_the_others_alone_and_the_last_stops_the_embedder(world):
    world.embedder.gate.clear()
    first, second = world.stub.SearchScenes(RAIN), world.stub.SearchScenes(RAIN)
    await world.until_begun(2)
    await world.embedder.reached.acquire()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert world.embedder.left.locked(), "somebody waits still"
    second.cancel()
    await world.embedder.left.acquire()
    world.embedder.gate.set()
    assert len((await world.stub.SearchScenes(RAIN)).hits) == 5


async def test_who_has_more_time_gets_an_answer_when_the_first_has_run_out_of_it(world):
    world.embedder.gate.clear()
    hurried, patient = world.stub.SearchScenes(RAIN, timeout=0.5), world.stub.SearchScenes(RAIN, timeout=60)
    await world.until_begun(2)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await hurried
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    world.embedder.gate.set()
    assert len((await patient).hits) == 5


async def test_an_error_is_told_to_all_and_remembered_by_none(world):
    world.embedder.gate.clear()
    world.embedder.refusals.append(OverloadedError("64 texts are waiting"))
    calls = [world.stub.SearchScenes(RAIN) for _ in range(3)]
    await world.until_begun(3)
    world.embedder.gate.set()
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError, match="64 texts are waiting"):
            await call
    assert world.embedder.texts == [["rain"]]
    assert len((await world.stub.SearchScenes(RAIN)).hits) == 5


async def move(world, model):
    """To videos of another model, in the store."""
    for video_id in ("rabbit", "street"):
        await world.videos.delete_video(video_id)
    await world.videos.put_video(video("later", model), scenes_of("a rabbit wakes", "rain"))


async def test_when_store_and_embedder_have_moved_to_another_model_remembered_texts_are_embedded_anew(world):
    for text in ("rain", "snow"):
        await world.client.search_scenes(text, SceneRanking())
    await move(world, "words-2")
    world.embedder.model = "words-2"
    (best, _) = (await world.client.search_scenes("rain", SceneRanking())).hits
    assert (best.video_id, best.ordinal, best.score) == ("later", 1, pytest.approx(1, abs=1e-3))
    await world.client.search_videos("snow", VideoRanking())
    assert world.embedder.texts == [["rain"], ["snow"], ["rain"], ["snow"]]


async def test_a_mix_of_texts_remembered_and_new_is_embedded_anew_as_a_whole(world):
    await world.client.search_scenes("rain", SceneRanking())
    await move(world, "words-2")
    world.embedder.model = "words-2"
    parts = (TextPart("rain"), TextPart("wakes", -1), ImagePart(b"rain"))
    assert (await world.client.search_scenes(parts, SceneRanking())).hits[0].ordinal == 1
    assert world.embedder.texts == [["rain"], ["wakes"], ["rain"]]


async def test_while_the_embedder_has_another_model_than_the_store_it_is_asked_once_more_and_the_caller_is_told(world):
    await world.client.search_scenes("rain", SceneRanking())
    await move(world, "words-2")
    with pytest.raises(PreconditionError, match="words-1"):
        await world.client.search_scenes("rain", SceneRanking())
    assert world.embedder.texts == [["rain"]] * 2


async def test_a_new_text_of_another_model_is_refused_at_once(world):
    world.embedder.model = "words-2"
    with pytest.raises(PreconditionError, match="words-2"):
        await world.client.search_scenes("rain", SceneRanking())
    assert world.embedder.texts == [["rain"]]


async def test_remembered_texts_are_still_good_while_only_the_embedder_has_moved(world):
    found = await world.client.search_scenes("rain", SceneRanking())
    world.embedder.model = "words-2"
    assert await world.client.search_scenes("rain", SceneRanking()) == found


async def test_other_errors_of_the_store_are_no_reason_to_embed_anew(world):
    await world.client.search_scenes("rain", SceneRanking())
    with pytest.raises(NotFoundError):
        await world.client.timeline("nowhere", "rain")
    assert world.embedder.texts == [["rain"]]


async def test_what_is_written_between_two_equal_searches_is_found_by_the_second(world):
    assert len((await world.client.search_scenes("rain", SceneRanking())).hits) == 5
    await world.videos.delete_video("rabbit")
    assert len((await world.client.search_scenes("rain", SceneRanking())).hits) == 2
    await fill(world.videos)
    assert len((await world.client.search_scenes("rain", SceneRanking())).hits) == 5
