"""The same request to the same store is worked out once, and anew as soon as anything has changed."""

import pytest

from services.common import vectors
from services.common.errors import InvalidInputError
from services.common.ranking import SceneRanking, VideoRanking
from services.store.answers import Answers
from services.store.catalog import Catalog
from services.store.index import Index
from tests.stores import query_of, scenes, store, video
from videosearch.v1 import store_pb2

QUERY = query_of(vectors.normalize([1.0] * 8))


class Counting(Catalog):
    """Counts how often a ranking is made."""

    made = 0

    def find_scenes(self, query, ranking):
        type(self).made += 1
        return super().find_scenes(query, ranking)

    def find_videos(self, query, ranking):
        type(self).made += 1
        return super().find_videos(query, ranking)


@pytest.fixture
async def client(tmp_path):
    Counting.made = 0
    async with store(tmp_path, Counting) as client:
        await client.put_video(video("a"), scenes(3))
        yield client


async def test_the_same_request_is_worked_out_once(client):
    first = await client.find_scenes(QUERY, SceneRanking())
    assert await client.find_scenes(QUERY, SceneRanking()) == first
    assert Counting.made == 1


async def test_another_request_is_worked_out_itself(client):
    assert len((await client.find_scenes(QUERY, SceneRanking())).hits) == 3
    assert len((await client.find_scenes(QUERY, SceneRanking(top_k=1))).hits) == 1
    await client.find_videos(QUERY, VideoRanking())
    assert Counting.made == 3


async def test_what_is_put_changed_or_deleted_shows_at_once(client):
    async def titles():
        return [hit.video.title for hit in (await client.find_videos(QUERY, VideoRanking())).hits]

    assert await titles() == [""]
    await client.put_video(video("b", title="b"), scenes(3, seed=1))
    assert sorted(await titles()) == ["", "b"]
    await client.update_video(video("b", title="c"), ["title"])
    assert sorted(await titles()) == ["", "c"]
    await client.delete_video("a")
    assert await titles() == ["c"]
    assert Counting.made == 4


async def test_what_is_refused_is_refused_again(client):
    for _ in range(2):
        with pytest.raises(InvalidInputError):
            await client.find_scenes(QUERY, SceneRanking(min_score=float("nan")))


def answer(size_bytes):
    return store_pb2.FindScenesResponse(next_cursor="x" * (size_bytes - 3))


def test_the_answers_asked_for_longest_ago_give_way():
    answers, picture = Answers(max_bytes=3000), Index()
    for request in (b"1", b"2"):
        answers.keep(picture, request, answer(1400))
    assert answers.get(picture, b"1")
    answers.keep(picture, b"3", answer(1400))
    assert [answers.get(picture, request) is not None for request in (b"1", b"2", b"3")] == [True, False, True]


def test_an_answer_too_large_is_not_kept():
    answers, picture = Answers(max_bytes=3000), Index()
    answers.keep(picture, b"1", answer(3001))
    assert answers.get(picture, b"1") is None


def test_answers_are_of_their_picture_only():
    answers, picture, following = Answers(), Index(), Index()
    answers.keep(picture, b"1", answer(100))
    assert answers.get(following, b"1") is None
    answers.keep(following, b"2", answer(100))
    assert answers.get(picture, b"1") is None
