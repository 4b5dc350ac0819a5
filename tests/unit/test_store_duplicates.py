"""Near-duplicates: which are left out, whatever the size of the blocks, and how long that takes at its worst."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import vectors
from services.common.ranking import MomentPart, ScenePart, SceneRanking, VideoPart, VideoRanking
from services.store import duplicates, means
from services.store.index import Index
from services.store.queries import find_scenes, find_videos
from tests.stores import SECOND, indexed, query_of, scene, scene_pages, scenes, video, video_pages

X, Y, Z = np.float32(np.eye(3))
NEAR_X = vectors.normalize(np.float32([1, 0.1, 0]))


def index_of(videos):
    """Scenes of one vector each, by video id; a digest of the file may stand behind a colon."""
    index = Index()
    for name, rows in videos.items():
        video_id, _, file = name.partition(":")
        stored = video(video_id, content_sha256=file)
        index = index.with_video(indexed(stored, [scene(n, [row]) for n, row in enumerate(rows)]))
    return index


def keys(hits):
    return [(hit.video_id, hit.ordinal) for hit in hits]


@pytest.mark.parametrize("block", [1, 3, 512])
@given(st.lists(st.integers(0, 7), min_size=1, max_size=20), st.sampled_from([0.5, 0.8, 1.0]))
def test_the_size_of_the_blocks_changes_nothing(block, rows, similarity):
    units = scenes(8, 1, 4)
    index = index_of({"v": [units[row].samples[0].vector for row in rows]})
    ranking = SceneRanking(top_k=1000, duplicate_similarity=similarity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        found = keys(find_scenes(index, query_of(units[0].samples[0].vector), ranking).hits)
    every = find_scenes(index, query_of(units[0].samples[0].vector), SceneRanking(top_k=1000)).hits
    matrix, kept = means.of_scenes(index.rows, np.arange(len(rows))).astype(np.float64), []
    for hit in every:
        if not any(matrix[hit.ordinal] @ matrix[other] >= similarity - 1e-6 for other in kept):
            kept.append(hit.ordinal)
    assert [ordinal for _, ordinal in found] == kept


def test_means_are_of_all_samples_in_whatever_order_scenes_are_asked_for(monkeypatch):
    monkeypatch.setattr(means, "SAMPLES_AT_ONCE", 4)
    its = [scenes(5, sample_count=count, seed=count)[0] for count in (1, 3, 2, 5)]
    its = [scene(n, [sample.vector for sample in one.samples]) for n, one in enumerate(its)]
    index = Index().with_video(indexed(video(), its))
    exact = [np.mean([np.float16(sample.vector) for sample in one.samples], axis=0, dtype=np.float64) for one in its]
    order = np.array([2, 0, 3, 1])
    found = means.of_scenes(index.rows, order)
    np.testing.assert_allclose(found, vectors.normalize(np.array(exact)[order]), atol=1e-3)
    every = np.mean([sample.vector for one in its for sample in one.samples], axis=0)
    np.testing.assert_allclose(means.of_videos(index, np.array([0]))[0], vectors.normalize(every), atol=1e-3)


def test_copies_of_a_file_are_duplicates_though_their_vectors_differ():
    index = index_of({"a:film": [X], "b:film": [Y], "c": [Z], "d": [Z], "e": [NEAR_X]})
    found = find_videos(index, query_of(X), VideoRanking(duplicate_similarity=1.0))
    assert [hit.video.video_id for hit in found.hits] == ["a", "e", "c"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ((ScenePart("a", 0),), [("b", 1), ("c", 0)]),
        ((MomentPart("a", SECOND),), [("b", 1), ("c", 0)]),
        ((ScenePart("a", 0), VideoPart("c")), [("b", 1)]),
    ],
)
def test_a_scene_like_one_that_the_query_names_is_left_out(query, found):
    index = index_of({"a": [X], "b": [NEAR_X, Y], "c": [Z]})
    ranking = SceneRanking(duplicate_similarity=0.9)
    assert keys(find_scenes(index, query, ranking).hits) == found
    again = find_scenes(index, query, replace(ranking, include_named=True)).hits
    assert ("a", 0) in keys(again)


def test_a_video_like_one_that_the_query_names_is_left_out():
    index = index_of({"a:film": [X], "b:film": [Z], "c": [NEAR_X], "d": [Y]})
    for query in ((VideoPart("a"),), (ScenePart("a", 0),), (MomentPart("a", 0),)):
        found = find_videos(index, query, VideoRanking(duplicate_similarity=0.9))
        assert [hit.video.video_id for hit in found.hits] == ["d"]
    found = find_videos(index, (VideoPart("d"),), VideoRanking(duplicate_similarity=0.9))
    assert [hit.video.video_id for hit in found.hits] == ["c", "b"]  # c and d have no digests


def test_a_cut_off_goes_by_the_best_that_is_no_duplicate_of_what_the_query_names():
    half = vectors.normalize(np.float32([0.6, 0.8, 0]))
    index = index_of({"a": [X], "b": [NEAR_X, half], "c": [Z]})
    ranking = SceneRanking(duplicate_similarity=0.9, relative_cutoff=0.9, merge_ratio=0.9)
    found = find_scenes(index, (ScenePart("a", 0),), ranking)
    assert keys(found.hits) == [("b", 1)]
    index = index_of({"a": [X], "b": [NEAR_X], "c": [half], "d": [Z]})
    videos = find_videos(index, (VideoPart("a"),), VideoRanking(duplicate_similarity=0.9, relative_cutoff=0.9))
    assert [hit.video.video_id for hit in videos.hits] == ["c"]


def test_what_is_only_like_a_scene_beyond_what_its_video_may_have_is_found():
    index = index_of({"a": [X, Y], "b": [Y, Z]})
    query = query_of(vectors.normalize(np.float32([3, 2, 1])))
    found = find_scenes(index, query, SceneRanking(scenes_per_video=1, duplicate_similarity=0.9))
    assert (keys(found.hits), found.filtered.duplicate_count) == ([("a", 0), ("b", 0)], 0)


def test_the_scenes_of_a_video_hit_are_distinct():
    index = index_of({"a": [X, NEAR_X, Y], "b": [NEAR_X]})
    (hit,) = find_videos(index, query_of(X), VideoRanking(top_k=1, duplicate_similarity=0.9)).hits
    assert [one.ordinal for one in hit.scenes] == [0, 2]


def test_duplicates_are_counted_on_the_page_of_the_hit_that_follows_them():
    index = index_of({"a": [X, X, Y], "b": [X, Y, Z]})
    query = query_of(vectors.normalize(np.float32([3, 2, 1])))
    pages = list(scene_pages(index, query, SceneRanking(top_k=1, duplicate_similarity=0.9)))
    assert [keys(page.hits) for page in pages] == [[("a", 0)], [("a", 2)], [("b", 2)]]
    assert [page.filtered.duplicate_count for page in pages] == [0, 2, 1]
    pages = list(video_pages(index, query, VideoRanking(top_k=1, duplicate_similarity=0.5)))
    assert [(len(page.hits), page.filtered.duplicate_count) for page in pages] == [(1, 1)]


def test_twenty_thousand_copies_of_a_scene_take_seconds():
    unit = vectors.normalize(np.ones(512))
    index = index_of({f"v{n}": [unit] * 2000 for n in range(10)})
    began = time.perf_counter()
    found = next(scene_pages(index, query_of(unit), SceneRanking(duplicate_similarity=0.95)))
    assert (keys(found.hits), found.filtered.duplicate_count) == ([("v0", 0)], 19_999)
    assert time.perf_counter() - began < 10
