"""Maximal marginal relevance, against the formula one pick at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import vectors
from services.common.media import VideoFilter
from services.common.ranking import VideoPart, VideoRanking
from services.store.diversity import picked, pool_size
from services.store.index import Index
from services.store.queries import find_videos
from tests.stores import indexed, query_of, scene, scenes, video, video_pages


def best_next(relevance, cosines, taken, diversity):
    """The worth of each that is not taken, by the formula."""
    return {
        place: (1 - diversity) * relevance[place] - diversity * max(cosines[place][other] for other in taken)
        for place in range(len(relevance))
        if place not in taken
    }


@given(st.integers(1, 12), st.integers(1, 15), st.floats(0.01, 1), st.integers(0, 1000))
def test_each_pick_is_worth_most_beside_those_before_it(size, count, diversity, seed):
    random = np.random.default_rng(seed)
    relevance = np.sort(random.uniform(-1, 1, size).astype(np.float32))[::-1]
    means = vectors.normalize(random.standard_normal((size, 4)))
    places = picked(relevance, means, count, diversity).tolist()
    cosines = (means.astype(np.float64) @ means.T.astype(np.float64)).tolist()
    assert places[0] == 0
    assert len(set(places)) == len(places) == min(size, count)
    for turn in range(1, len(places)):
        worth = best_next(relevance.tolist(), cosines, places[:turn], diversity)
        assert worth[places[turn]] >= max(worth.values()) - 1e-6


def index_of(*angles):
    """A video for each angle in degrees, of a scene of one vector; v0 and so on."""
    index = Index()
    for number, angle in enumerate(np.radians(angles)):
        one = scene(0, [np.float32([np.cos(angle), np.sin(angle)])])
        index = index.with_video(indexed(video(f"v{number}", content_sha256=f"f{number % 3}"), [one]))
    return index


X = query_of(np.float32([1, 0]))


@pytest.mark.parametrize(("diversity", "expected"), [(0.0, "v0 v1 v2 v3"), (0.3, "v0 v2 v1 v3"), (1.0, "v0 v4 v2 v3")])
def test_the_more_diversity_the_less_alike_are_the_videos_that_follow(diversity, expected):
    hits = find_videos(index_of(30, 31, -32, 33, -60), X, VideoRanking(top_k=4, diversity=diversity)).hits
    assert " ".join(hit.video.video_id for hit in hits) == expected
    assert all(hit.scenes for hit in hits)


def test_relevance_is_a_cosine_however_short_the_querys_vector_is():
    """Two parts that nearly cancel each other make a short vector, whose scores are small beside cosines."""
    index = index_of(0, 10, 30, 60, 100, 90)
    query = (VideoPart("v5", -0.9), VideoPart("v4", 1.0))
    ids = VideoFilter(frozenset({"v0", "v1", "v2", "v3"}))
    ranking = VideoRanking(top_k=4, diversity=0.3, video_filter=ids)
    vector = np.float64([np.cos(np.radians(100)), np.sin(np.radians(100)) - 0.9]) / 1.9
    units = np.array([[np.cos(a), np.sin(a)] for a in np.radians([0, 10, 30, 60])])
    relevance = units @ (vector / np.linalg.norm(vector))
    order = np.argsort(-relevance).tolist()
    taken = [order[0]]
    while len(taken) < 4:
        worth = best_next(relevance.tolist(), (units @ units.T).tolist(), taken, 0.3)
        taken.append(max(worth, key=worth.get))
    found = [hit.video.video_id for hit in find_videos(index, query, ranking).hits]
    assert found == [f"v{place}" for place in taken]


def test_a_query_that_cancels_itself_finds_videos_with_diversity_too():
    query = (VideoPart("v0", 1.0), VideoPart("v0", -1.0))
    hits = find_videos(index_of(0, 10, 90), query, VideoRanking(diversity=0.5, include_named=True)).hits
    assert {hit.score for hit in hits} == {0.0}
    assert len(hits) == 3


def test_cut_offs_and_duplicates_come_before_diversity():
    index = index_of(0, 10, 40, 50, 60, 85)  # v3 is of the same file as v0, v4 as v1, v5 as v2
    ranking = VideoRanking(diversity=1.0, min_score=0.45, duplicate_similarity=1.0)
    (page,) = video_pages(index, X, ranking)
    assert [hit.video.video_id for hit in page.hits] == ["v0", "v2", "v1"]
    assert (page.filtered.low_score_count, page.filtered.duplicate_count) == (0, 2)
    (page,) = video_pages(index, X, VideoRanking(top_k=5, diversity=1.0, min_score=0.7))
    assert (len(page.hits), page.filtered.low_score_count) == (3, 2)


def test_videos_are_picked_from_a_pool_of_the_best():
    assert (pool_size(1), pool_size(1000)) == (104, 4100)
    index = Index()
    for number in range(110):
        index = index.with_video(indexed(video(f"v{number:03}"), scenes(1, dimension=8, seed=number)))
    query = query_of(scenes(1, seed=999)[0].samples[0].vector)
    pool = [hit.video.video_id for hit in find_videos(index, query, VideoRanking(top_k=104)).hits]
    hits = find_videos(index, query, VideoRanking(top_k=1000, diversity=0.9, min_score=-1)).hits
    assert len(hits) == 110
    (best,) = find_videos(index, query, VideoRanking(top_k=1, diversity=1.0)).hits
    assert best.video.video_id == pool[0]
