"""Recommendations, among videos that belong to planted clusters."""

import shutil
from collections import Counter
from itertools import combinations

import grpc
import numpy as np
import pytest

from services.common import vectors
from services.common.errors import InvalidInputError, NotFoundError
from services.common.media import VideoFilter
from services.common.ranking import MomentPart, ScenePart, VideoPart, VideoRanking
from services.store.catalog import Catalog
from tests.searches import searching
from tests.standins import DIMENSION, MODEL
from tests.stores import SECOND, indexed, scene, video
from videosearch.v1 import search_pb2

CLUSTERS, VIDEOS, SCENES = 8, 12, 12
RANDOM = np.random.default_rng(0)
CENTERS = vectors.normalize(RANDOM.standard_normal((CLUSTERS, DIMENSION)))


def near(center, distance):
    """A direction that has about this tangent to the center."""
    return vectors.normalize(center + distance * vectors.normalize(RANDOM.standard_normal(DIMENSION)))


def made(cluster):
    middle = near(CENTERS[cluster], 0.6)
    return [scene(ordinal, [near(middle, 0.3) for _ in range(2)]) for ordinal in range(SCENES)]


CATALOG = {f"c{cluster}-{number:02}": made(cluster) for cluster in range(CLUSTERS) for number in range(VIDEOS)}


def mean_of(video_id):
    return vectors.normalize(np.mean([sample.vector for its in CATALOG[video_id] for sample in its.samples], axis=0))


def clusters_of(found):
    return Counter(hit.video.video_id[:2] for hit in found.hits)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with Catalog(folder) as catalog:
        for video_id, its_scenes in CATALOG.items():
            catalog.put(indexed(video(video_id, MODEL, metadata={"odd": video_id[-1]}), its_scenes))
    return folder


@pytest.fixture
async def world(tmp_path, stored):
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    async with searching(tmp_path, filled=False) as world:
        yield world


@pytest.mark.parametrize("cluster", range(CLUSTERS))
async def test_what_is_like_the_liked_comes_first(world, cluster):
    liked = [VideoPart(f"c{cluster}-{number:02}") for number in range(3)]
    found = await world.client.recommend_videos(liked, [], VideoRanking(top_k=VIDEOS - 3))
    assert clusters_of(found) == {f"c{cluster}": VIDEOS - 3}
    assert world.embedder.texts == []


async def test_what_is_like_the_disliked_does_not_come(world):
    between = [scene(ordinal, [near(CENTERS[0] + CENTERS[1], 0.3)]) for ordinal in range(SCENES)]
    await world.videos.put_video(video("between", MODEL), between)
    liked, disliked = [VideoPart("between")], [VideoPart(f"c1-{number:02}") for number in range(3)]
    plain = await world.client.recommend_videos(liked, [], VideoRanking(top_k=8))
    assert set(clusters_of(plain)) == {"c0", "c1"}
    found = await world.client.recommend_videos(liked, disliked, VideoRanking(top_k=8))
    assert set(clusters_of(found)) == {"c0"}


@pytest.mark.parametrize(
    ("liked", "disliked"),
    [
        ([VideoPart("c0-00"), VideoPart("c1-00")], [VideoPart("c0-01")]),
        ([ScenePart("c0-00", 2)], [ScenePart("c0-01", 0)]),
        ([MomentPart("c0-00", 3 * SECOND)], [MomentPart("c0-01", 0)]),
    ],
)
async def test_the_videos_of_the_examples_do_not_come(world, liked, disliked):
    found = await world.client.recommend_videos(liked, disliked, VideoRanking(top_k=1000))
    left_out = {part.video_id for part in (*liked, *disliked)}
    assert {hit.video.video_id for hit in found.hits} == set(CATALOG) - left_out
    assert found.filtered.video_count == len(left_out)


async def test_more_like_this_moment(world):
    moment = MomentPart("c3-05", 5 * SECOND)
    found = await world.client.recommend_videos([moment], [], VideoRanking(top_k=VIDEOS - 1))
    assert clusters_of(found) == {"c3": VIDEOS - 1}


async def test_scores_are_those_of_rocchios_method_over_the_ten_best_scenes(world):
    liked, disliked = [VideoPart("c0-00"), VideoPart("c1-00")], [VideoPart("c2-00")]
    query = 0.75 * (mean_of("c0-00") + mean_of("c1-00")) / 2 - 0.15 * mean_of("c2-00")
    best = {
        video_id: sorted(max(sample.vector @ query for sample in its.samples) for its in its_scenes)[-10:]
        for video_id, its_scenes in CATALOG.items()
    }
    found = await world.client.recommend_videos(liked, disliked, VideoRanking(top_k=1000))
    assert {hit.video.video_id: hit.score for hit in found.hits} == pytest.approx(
        {hit.video.video_id: np.mean(best[hit.video.video_id]) / 0.9 for hit in found.hits}, abs=2e-3
    )


def likeness(found):
    """The mean cosine between the videos."""
    return np.mean(
        [mean_of(one.video.video_id) @ mean_of(other.video.video_id) for one, other in combinations(found.hits, 2)]
    )


async def test_diversity_brings_more_of_what_is_liked_and_less_of_the_same(world):
    liked = [VideoPart("c0-00"), VideoPart("c0-01"), VideoPart("c0-02"), VideoPart("c1-00")]
    plain = await world.client.recommend_videos(liked, [], VideoRanking(top_k=6))
    diverse = await world.client.recommend_videos(liked, [], VideoRanking(top_k=6, diversity=0.5))
    assert set(clusters_of(plain)) == {"c0"}
    assert set(clusters_of(diverse)) >= {"c0", "c1"}
    assert likeness(diverse) < likeness(plain) - 0.1
    assert diverse.hits[0] == plain.hits[0]


async def test_near_duplicates_of_the_examples_are_left_out(world):
    await world.videos.put_video(video("again", MODEL), CATALOG["c0-00"])
    found = await world.client.recommend_videos([VideoPart("c0-00")], [], VideoRanking(duplicate_similarity=0.999))
    assert "again" not in {hit.video.video_id for hit in found.hits}
    assert found.filtered.duplicate_count == 1


async def test_counts_and_the_filter_are_passed_on(world):
    only = VideoFilter(metadata={"odd": "3"})
    ranking = VideoRanking(top_k=2, scenes_per_video=1, video_filter=only)
    found = await world.client.recommend_videos([VideoPart("c0-00")], [], ranking)
    assert [len(hit.scenes) for hit in found.hits] == [1, 1]
    assert found.hits[0].video.video_id == "c0-03"
    assert {hit.video.video_id[-1] for hit in found.hits} == {"3"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (search_pb2.RecommendVideosRequest(), "liked is empty: give at least one example"),
        (
            search_pb2.RecommendVideosRequest(disliked=[search_pb2.Example(video_id="c0-00")]),
            "liked is empty: give at least one example",
        ),
        (
            search_pb2.RecommendVideosRequest(
                liked=[search_pb2.Example(video_id="c0-00")] * 60, disliked=[search_pb2.Example(video_id="c0-01")] * 41
            ),
            "liked with disliked has 101 elements; it must have 1 to 100",
        ),
        (
            search_pb2.RecommendVideosRequest(
                liked=[search_pb2.Example(video_id="c0-00")], disliked=[search_pb2.Example()]
            ),
            "disliked[0] says nothing: set one of video_id, scene, moment",
        ),
        (
            search_pb2.RecommendVideosRequest(liked=[search_pb2.Example(video_id="c0-00")], diversity=2),
            "diversity is 2.0; it must be 0 to 1",
        ),
    ],
)
async def test_examples_that_are_none_are_refused(world, request_, said):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await world.stub.RecommendVideos(request_)
    assert (failure.value.code(), failure.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, said)


async def test_an_example_that_does_not_exist_is_named(world):
    nowhere = [VideoPart("c0-01"), VideoPart("nowhere")]
    with pytest.raises(NotFoundError, match=r"^disliked\[1\]: .*'nowhere'"):
        await world.client.recommend_videos([VideoPart("c0-00")], nowhere, VideoRanking())
    with pytest.raises(NotFoundError, match=r"^liked\[1\]: .*'nowhere'"):
        await world.client.recommend_videos(nowhere, [], VideoRanking())
    with pytest.raises(InvalidInputError, match=r"liked\[0\].video_id 'a b'"):
        await world.client.recommend_videos([VideoPart("a b")], [], VideoRanking())
