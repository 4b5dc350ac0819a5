"""Searches page by page."""

from dataclasses import replace

import pytest

from services.common.errors import InvalidInputError, PreconditionError
from services.common.ranking import ImagePart, SceneRanking, TextPart, VideoPart, VideoRanking
from tests.searches import search_with, searching
from tests.standins import DIMENSION, MODEL
from tests.stores import scenes, video

PARTS = (TextPart("rain", 2), ImagePart(b"snow"), VideoPart("a", -1))
TEXT = (TextPart("rain"),)
LONG = (TextPart("rain " * 100),)


@pytest.fixture
async def world(tmp_path):
    """The embedder makes slightly other vectors each time."""
    async with searching(tmp_path, unsteady=True, filled=False) as world:
        for seed, name in enumerate("cdab"):
            await world.videos.put_video(video(name, MODEL), scenes(5, 2, DIMENSION, seed=seed))
        yield world


async def pages(ask, ranking):
    """The answers, to the end."""
    found = [await ask(ranking)]
    while found[-1].next_cursor:
        found.append(await ask(replace(ranking, cursor=found[-1].next_cursor)))
    return found


def hits_of(found):
    return [(hit.video_id, hit.ordinal) for page in found for hit in page.hits]


@pytest.mark.parametrize("wanted", [TEXT, PARTS, (VideoPart("a"),)])
async def test_pages_of_scenes_make_up_the_whole_ranking(world, wanted):
    (whole,) = await pages(lambda asked: world.client.search_scenes(wanted, asked), SceneRanking(top_k=1000))
    found = await pages(lambda asked: world.client.search_scenes(wanted, asked), SceneRanking(top_k=3))
    assert (hits_of(found), len(found) > 4) == (hits_of([whole]), True)


@pytest.mark.parametrize("wanted", [TEXT, PARTS])
async def test_pages_of_videos_make_up_the_whole_ranking(world, wanted):
    (whole,) = await pages(lambda asked: world.client.search_videos(wanted, asked), VideoRanking(top_k=1000))
    found = await pages(lambda asked: world.client.search_videos(wanted, asked), VideoRanking(top_k=1))
    videos = [hit.video.video_id for page in found for hit in page.hits]
    assert videos == [hit.video.video_id for hit in whole.hits]


async def test_with_a_cursor_nothing_is_embedded_again(world):
    await pages(lambda asked: world.client.search_scenes(PARTS, asked), SceneRanking(top_k=3))
    assert (world.embedder.texts, world.embedder.images) == ([["rain"]], [[b"snow"]])


async def test_a_replica_that_never_saw_the_first_page_goes_on(world):
    ranking = SceneRanking(top_k=3)
    first = await world.client.search_scenes(PARTS, ranking)
    async with search_with(world.embedder_address, world.videos.address) as replica:
        second = await replica.search_scenes(PARTS, replace(ranking, cursor=first.next_cursor))
    same = await world.client.search_scenes(PARTS, replace(ranking, cursor=first.next_cursor))
    assert hits_of([second]) == hits_of([same])
    assert len(set(hits_of([first, second]))) == 6


async def test_every_page_says_that_the_text_was_truncated(world):
    found = await pages(lambda asked: world.client.search_scenes(LONG, asked), SceneRanking(top_k=5))
    assert [page.query_truncated for page in found] == [True] * 4


async def test_the_number_of_hits_may_differ(world):
    first = await world.client.search_scenes(TEXT, SceneRanking(top_k=3))
    second = await world.client.search_scenes(TEXT, SceneRanking(top_k=1, cursor=first.next_cursor))
    assert len(second.hits) == 1


async def test_a_cursor_of_another_description_is_refused(world):
    cursor = (await world.client.search_scenes(PARTS, SceneRanking(top_k=3))).next_cursor
    for other in (TEXT, PARTS[:2], (replace(PARTS[0], weight=2.5), *PARTS[1:])):
        with pytest.raises(InvalidInputError, match="bring it back with the same text or parts, or begin without"):
            await world.client.search_scenes(other, SceneRanking(top_k=3, cursor=cursor))


async def test_a_cursor_of_another_ranking_is_refused(world):
    cursor = (await world.client.search_scenes(TEXT, SceneRanking(top_k=3))).next_cursor
    with pytest.raises(InvalidInputError, match="is none that this request has returned") as refusal:
        await world.client.search_scenes(TEXT, SceneRanking(top_k=3, cursor=cursor, scenes_per_video=1))
    assert cursor[:100] in str(refusal.value)
    with pytest.raises(InvalidInputError, match="is none that this request has returned"):
        await world.client.search_videos(TEXT, VideoRanking(cursor=cursor))


async def test_after_a_change_of_the_model_a_search_begins_anew(world):
    cursor = (await world.client.search_scenes(TEXT, SceneRanking(top_k=3))).next_cursor
    for name in "abcd":
        await world.videos.delete_video(name)
    await world.videos.put_video(video("e", "model-b"), scenes(1, 1, DIMENSION))
    with pytest.raises(PreconditionError, match="; begin without a cursor"):
        await world.client.search_scenes(TEXT, SceneRanking(top_k=3, cursor=cursor))


async def test_a_cursor_that_a_search_did_not_make_is_refused(world):
    of_store = (await world.videos.find_scenes((VideoPart("a"),), SceneRanking(top_k=1))).next_cursor
    for cursor in ("x", of_store):
        with pytest.raises(InvalidInputError, match="is none that a search for this has returned"):
            await world.client.search_scenes((VideoPart("a"),), SceneRanking(top_k=1, cursor=cursor))
