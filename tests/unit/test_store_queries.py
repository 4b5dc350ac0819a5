"""Queries of several parts against the same arithmetic in NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import vectors
from services.common.errors import InvalidInputError, NotFoundError, PreconditionError
from services.common.ranking import EmbeddingPart, MomentPart, ScenePart, SceneRanking, VideoPart, VideoRanking
from services.store.index import Index
from services.store.queries import find_scenes, find_videos, resolve, timeline
from tests.stores import MODEL, SECOND, indexed, query_of, scene, scene_pages, scenes, video

DIMENSION = 16
STORED = {
    "a": scenes(3, dimension=DIMENSION, seed=1),
    "b": scenes(2, 5, DIMENSION, seed=2),
    "c": scenes(1, 1, DIMENSION),
}


def index_of(stored):
    index = Index()
    for video_id, its_scenes in stored.items():
        index = index.with_video(indexed(video(video_id), its_scenes))
    return index


INDEX = index_of(STORED)


def samples_of(*its_scenes):
    """(N, D), as they are at rest."""
    halves = np.float16([sample.vector for one in its_scenes for sample in one.samples])
    return vectors.normalize(halves).astype(np.float64)


def stands_for(part):
    """The unit vector of a part."""
    if isinstance(part, EmbeddingPart):
        return part.vector.astype(np.float64)
    its_scenes = STORED[part.video_id]
    if isinstance(part, MomentPart):
        offsets = [sample.offset_ns for one in its_scenes for sample in one.samples]
        nearest = min(range(len(offsets)), key=lambda row: abs(offsets[row] - part.offset_ns))
        return samples_of(*its_scenes)[nearest]
    mean = samples_of(*(its_scenes if isinstance(part, VideoPart) else [its_scenes[part.ordinal]])).mean(axis=0)
    return mean / np.linalg.norm(mean)


def score(sample, query):
    """The sum of the cosines times their weights, over the sum of the weights' absolute values."""
    return sum(part.weight * (sample @ stands_for(part)) for part in query) / sum(abs(part.weight) for part in query)


def embedding(seed, weight):
    unit = vectors.normalize(np.random.default_rng(seed).standard_normal(DIMENSION))
    return EmbeddingPart(unit, MODEL, weight)


weights = (st.floats(0.01, 100) | st.floats(-100, -0.01)).map(float)
its_scenes = st.sampled_from([(video_id, one.ordinal) for video_id, some in STORED.items() for one in some])
parts = st.one_of(
    st.builds(embedding, st.integers(0, 1000), weights),
    st.builds(lambda place, weight: ScenePart(*place, weight), its_scenes, weights),
    st.builds(VideoPart, st.sampled_from(list(STORED)), weights),
    st.builds(MomentPart, st.sampled_from(list(STORED)), st.integers(0, 7 * SECOND) | st.just(10**25), weights),
)
queries = st.lists(parts, min_size=1, max_size=6).map(tuple)


@given(queries)
def test_any_mix_of_parts_scores_scenes_as_numpy_does(query):
    hits = find_scenes(INDEX, query, SceneRanking(top_k=1000, include_named=True)).hits
    exact = {
        (video_id, one.ordinal): max(score(sample, query) for sample in samples_of(one))
        for video_id, some in STORED.items()
        for one in some
    }
    assert {(hit.video_id, hit.ordinal): hit.score for hit in hits} == pytest.approx(exact, abs=1e-5)


@given(queries, st.sampled_from(list(STORED)))
def test_a_timeline_scores_each_sample_as_numpy_does(query, video_id):
    points = timeline(INDEX, video_id, query)
    samples = [(sample.offset_ns, one.ordinal) for one in STORED[video_id] for sample in one.samples]
    assert [(point.offset_ns, point.ordinal) for point in points] == samples
    exact = [score(sample, query) for sample in samples_of(*STORED[video_id])]
    assert [point.score for point in points] == pytest.approx(exact, abs=1e-5)


@given(queries)
def test_the_best_moment_of_a_timeline_is_the_score_of_the_video(query):
    for hit in find_videos(INDEX, query, VideoRanking(include_named=True)).hits:
        assert hit.score == max(point.score for point in timeline(INDEX, hit.video.video_id, query))


def test_a_scene_finds_itself_and_its_negation_comes_last():
    ranking = SceneRanking(top_k=1000, include_named=True)
    best = find_scenes(INDEX, (ScenePart("c", 0),), ranking).hits
    worst = find_scenes(INDEX, (ScenePart("c", 0, -2.0),), ranking).hits
    assert (best[0].video_id, best[0].score) == ("c", pytest.approx(1))
    assert (worst[-1].video_id, worst[-1].score) == ("c", pytest.approx(-1))


@pytest.mark.parametrize("scale", [1e308, 1e-300])
def test_weights_of_any_size_count_by_their_proportion(scale):
    query = (embedding(1, 1.5), embedding(2, -0.5))
    scaled = (embedding(1, 1.5 * scale), embedding(2, -0.5 * scale))
    assert resolve(INDEX, scaled) == pytest.approx(resolve(INDEX, query), abs=1e-6)


def test_of_two_frames_that_are_as_near_the_earlier_one_is_the_moment():
    first, second = (sample for sample in STORED["a"][0].samples[:2])
    between = (first.offset_ns + second.offset_ns) // 2
    moments = [MomentPart("a", between), MomentPart("a", between + 1)]
    assert [resolve(INDEX, (part,)).tolist() for part in moments] == [
        pytest.approx(sample.vector.tolist(), abs=1e-3) for sample in (first, second)
    ]


@pytest.mark.parametrize(
    ("query", "left_out"),
    [
        ((ScenePart("a", 1),), {("a", 1)}),
        ((MomentPart("b", 2 * SECOND), ScenePart("a", 1), ScenePart("a", 1)), {("a", 1), ("b", 0)}),
        ((MomentPart("b", 0), MomentPart("b", 10**25)), {("b", 0), ("b", 1)}),
        ((VideoPart("b"), embedding(1, 1.0)), {("b", 0), ("b", 1)}),
        ((VideoPart("c", -1.0), ScenePart("b", 0)), {("c", 0), ("b", 0)}),
        ((embedding(1, 1.0),), set()),
    ],
)
def test_what_a_query_names_is_not_found_unless_asked_for(query, left_out):
    every = {(video_id, one.ordinal) for video_id, some in STORED.items() for one in some}
    found = {(hit.video_id, hit.ordinal) for hit in find_scenes(INDEX, query, SceneRanking(top_k=100)).hits}
    assert found == every - left_out
    all_named = find_scenes(INDEX, query, SceneRanking(top_k=100, include_named=True)).hits
    assert {(hit.video_id, hit.ordinal) for hit in all_named} == every
    videos = {hit.video.video_id for hit in find_videos(INDEX, query, VideoRanking()).hits}
    assert videos == set(STORED) - {video_id for video_id, _ in left_out}
    assert len(find_videos(INDEX, query, VideoRanking(include_named=True)).hits) == len(STORED)


def test_weights_that_cancel_each_other_score_everything_0():
    hits = find_scenes(INDEX, (VideoPart("a", 1.0), VideoPart("a", -1.0)), SceneRanking(include_named=True)).hits
    assert [(hit.video_id, hit.ordinal, hit.score) for hit in hits] == [
        (video_id, one.ordinal, 0.0) for video_id, some in STORED.items() for one in some
    ]


def test_samples_that_cancel_each_other_stand_for_nothing():
    unit = np.float32(np.eye(4)[0])
    index = index_of({"v": [scene(0, [unit, -unit])]})
    assert [point.score for point in timeline(index, "v", (VideoPart("v"),))] == [0.0, 0.0]


OTHER = EmbeddingPart(vectors.normalize(np.ones(DIMENSION)), "model-b")
SHORT = EmbeddingPart(np.float32([1, 0]), MODEL)


@pytest.mark.parametrize(
    ("query", "error", "complaint"),
    [
        ((OTHER,), PreconditionError, "^the store holds embeddings of model model-a .* model model-b"),
        ((embedding(1, 1.0), OTHER), PreconditionError, r"^parts\[1\]: the store holds embeddings of model model-a"),
        ((SHORT,), InvalidInputError, "^an embedding of model model-a has 16 components; got 2"),
        ((VideoPart("a"), SHORT), InvalidInputError, r"^parts\[1\]: an embedding of model model-a has 16 components"),
        ((VideoPart("x"),), NotFoundError, "^no video 'x'"),
        ((VideoPart("a"), ScenePart("x", 0)), NotFoundError, r"^parts\[1\]: no video 'x'"),
        ((MomentPart("x", 0),), NotFoundError, "^no video 'x'"),
        ((ScenePart("a", 3),), NotFoundError, "video 'a' has 3 scenes, and no scene 3"),
        ((ScenePart("a", -1),), NotFoundError, "video 'a' has 3 scenes, and no scene -1"),
    ],
)
def test_a_part_that_the_store_cannot_compare_is_refused(query, error, complaint):
    with pytest.raises(error, match=complaint):
        resolve(INDEX, query)


def test_embeddings_of_two_lengths_are_refused_by_an_empty_store_too():
    with pytest.raises(InvalidInputError, match=r"parts\[1\]: its embedding has 2 components, those before 16"):
        resolve(Index(), (embedding(1, 1.0), SHORT))


def test_a_timeline_of_a_video_that_does_not_exist_is_not_found():
    with pytest.raises(NotFoundError, match="no video 'x'"):
        timeline(INDEX, "x", query_of(embedding(1, 1.0).vector))


def test_a_cursor_ends_when_a_scene_that_the_query_names_is_put_anew():
    query = (ScenePart("a", 0),)
    cursor = next(scene_pages(INDEX, query, SceneRanking(top_k=1))).next_cursor
    same = INDEX.with_video(indexed(video("b"), STORED["b"]))
    other = INDEX.with_video(indexed(video("a"), scenes(3, dimension=DIMENSION, seed=9)))
    assert find_scenes(same, query, SceneRanking(top_k=1, cursor=cursor)).hits
    with pytest.raises(InvalidInputError, match="must not have been put anew"):
        find_scenes(other, query, SceneRanking(top_k=1, cursor=cursor))
