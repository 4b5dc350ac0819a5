"""Rankings against a twin that does the same one scene at a time.

Vectors have components 0, 1/2 and 1, and samples and scenes come by 1, 2 or 4, so that scores are exact: ties too.
"""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.common import vectors
from services.common.media import SceneHit, SceneScoring, Segment, VideoFilter, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from services.store import queries
from services.store.index import Index
from tests.stores import SECOND, indexed, query_of, scene, scene_pages, scenes, video, video_pages

UNIT_VECTORS = np.float32([*np.eye(4), *-np.eye(4), *(np.array(list(product((-1, 1), repeat=4))) / 2)])

ids = st.sampled_from(["a", "a.b", "ab", "b", "c"])
pairs = st.dictionaries(st.sampled_from(["kind", "year"]), st.sampled_from(["x", "y"]))
embedding = st.integers(0, len(UNIT_VECTORS) - 1)
powers = st.sampled_from([1, 2, 4])
a_scene = powers.flatmap(lambda count: st.lists(embedding, min_size=count, max_size=count))
some_scenes = powers.flatmap(lambda count: st.lists(a_scene, min_size=count, max_size=count))
puts = st.tuples(ids, pairs, some_scenes)
changes = st.lists(puts | ids, max_size=14)
filters = st.builds(VideoFilter, st.frozensets(ids | st.just("unknown")), pairs)
scene_scorings = st.sampled_from([SceneScoring.BEST, SceneScoring.MEAN])
windows = st.none() | st.builds(
    lambda first, count: Segment(first, first + count), st.integers(0, 9), st.integers(1, 9)
)
asked = {
    "video_filter": filters,
    "scene_scoring": scene_scorings,
    "time_window": windows.map(lambda window: window and Segment(window.start_ns * SECOND, window.end_ns * SECOND)),
}
caps = st.none() | st.integers(1, 3)
scene_rankings = st.builds(SceneRanking, st.integers(1, 20), caps, **asked)
video_rankings = st.builds(
    VideoRanking,
    st.integers(1, 6),
    st.integers(0, 5),
    video_scoring=st.sampled_from(VideoScoring),
    top_scene_count=st.integers(1, 4),
    **asked,
)


def find_scenes(index, query, ranking):
    """The hits of one page."""
    return queries.find_scenes(index, query_of(query), ranking).hits


def find_videos(index, query, ranking):
    return queries.find_videos(index, query_of(query), ranking).hits


def changed(steps):
    """The index after each of the steps, with what it should hold: (metadata, scenes) by video id."""
    index, held = Index(), {}
    yield index, held
    for step in steps:
        if isinstance(step, tuple):
            video_id, metadata, rows = step
            its_scenes = [scene(ordinal, UNIT_VECTORS[row]) for ordinal, row in enumerate(rows)]
            index = index.with_video(indexed(video(video_id, metadata=metadata), its_scenes))
            held = held | {video_id: (metadata, its_scenes)}
        elif step in held:
            index = index.without(step)
            held = {video_id: kept for video_id, kept in held.items() if video_id != step}
        yield index, held


def combined(scores, scoring):
    """A mean as NumPy has it, to the last bit."""
    if scoring in {"mean", "top-mean"}:
        return float(np.divide(np.sum(np.float32(scores)), len(scores), dtype=np.float32))
    return max(scores)


def twin_hits(held, query, ranking):
    """All scenes that the filter lets through, best first."""
    wanted = ranking.video_filter
    hits = []
    for video_id, (metadata, its_scenes) in held.items():
        if (wanted.video_ids and video_id not in wanted.video_ids) or not wanted.metadata.items() <= metadata.items():
            continue
        for one in its_scenes:
            window = ranking.time_window or one.segment
            if one.segment.start_ns >= window.end_ns or one.segment.end_ns <= window.start_ns:
                continue
            scores = [float(sample.vector @ query) for sample in one.samples]
            best = one.samples[scores.index(max(scores))].offset_ns
            score = combined(scores, ranking.scene_scoring)
            hits.append(SceneHit(video_id, one.ordinal, one.segment, score, best))
    return sorted(hits, key=lambda hit: (-hit.score, hit.video_id, hit.ordinal))


def capped(hits, cap):
    taken = {}
    for hit in hits:
        taken[hit.video_id] = taken.get(hit.video_id, 0) + 1
        if cap is None or taken[hit.video_id] <= cap:
            yield hit


def twin_videos(held, query, ranking):
    of_video = {}
    for hit in twin_hits(held, query, ranking):
        of_video.setdefault(hit.video_id, []).append(hit)
    counted = ranking.top_scene_count if ranking.video_scoring is VideoScoring.TOP_MEAN else None
    scored = [
        (
            combined([hit.score for hit in hits[:counted]], ranking.video_scoring),
            video_id,
            hits[: ranking.scenes_per_video],
        )
        for video_id, hits in of_video.items()
    ]
    return sorted(scored, key=lambda one: (-one[0], one[1]))


@given(changes, embedding, scene_rankings)
def test_scenes_rank_as_those_of_the_twin_in_every_picture_of_the_store(steps, query, ranking):
    for index, held in list(changed(steps)):  # the earlier pictures are asked after the later ones were made
        wanted = list(capped(twin_hits(held, UNIT_VECTORS[query], ranking), ranking.scenes_per_video))[: ranking.top_k]
        assert list(find_scenes(index, UNIT_VECTORS[query], ranking)) == wanted


@given(changes, embedding, video_rankings)
def test_videos_rank_as_those_of_the_twin_in_every_picture_of_the_store(steps, query, ranking):
    for index, held in list(changed(steps)):
        hits = find_videos(index, UNIT_VECTORS[query], ranking)
        found = [(hit.score, hit.video.video_id, list(hit.scenes)) for hit in hits]
        assert found == twin_videos(held, UNIT_VECTORS[query], ranking)[: ranking.top_k]


@given(changes, embedding, scene_rankings)
def test_pages_of_scenes_are_together_the_whole_ranking(steps, query, ranking):
    index, held = list(changed(steps))[-1]
    wanted = list(capped(twin_hits(held, UNIT_VECTORS[query], ranking), ranking.scenes_per_video))
    pages = scene_pages(index, query_of(UNIT_VECTORS[query]), ranking)
    assert [hit for page in pages for hit in page.hits] == wanted


@given(changes, embedding, video_rankings)
def test_pages_of_videos_are_together_the_whole_ranking(steps, query, ranking):
    index, held = list(changed(steps))[-1]
    pages = video_pages(index, query_of(UNIT_VECTORS[query]), ranking)
    found = [(hit.score, hit.video.video_id, list(hit.scenes)) for page in pages for hit in page.hits]
    assert found == twin_videos(held, UNIT_VECTORS[query], ranking)


@given(
    st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=5), min_size=1, max_size=5), st.floats(1e-6, 9)
)
def test_softmax_weighs_samples_by_their_exponentials(cosines, temperature):
    its_scenes = [scene(n, [np.float32([c, np.sqrt(1 - c * c)]) for c in one]) for n, one in enumerate(cosines)]
    index = Index().with_video(indexed(video(), its_scenes))
    ranking = SceneRanking(scene_scoring=SceneScoring.SOFTMAX, softmax_temperature=temperature)
    hits = find_scenes(index, np.float32([1, 0]), ranking)
    for hit in hits:
        kept = vectors.normalize(np.float16([sample.vector for sample in its_scenes[hit.ordinal].samples]))[:, 0]
        weights = np.exp((kept - kept.max()) / np.float64(temperature))
        np.testing.assert_allclose(hit.score, (kept * weights).sum() / weights.sum(), atol=1e-5 + 1e-6 / temperature)
        assert min(kept) - 1e-6 <= hit.score <= max(kept) + 1e-6


def test_at_a_temperature_of_next_to_nothing_softmax_is_the_best():
    index = Index().with_video(indexed(video(), scenes(5)))
    query = vectors.normalize(np.ones(8))
    softmax = SceneRanking(scene_scoring=SceneScoring.SOFTMAX, softmax_temperature=5e-324)
    assert find_scenes(index, query, softmax) == find_scenes(index, query, SceneRanking())


@given(changes)
def test_an_index_counts_what_it_holds(steps):
    index, held = list(changed(steps))[-1]
    its_scenes = [one for _, scenes in held.values() for one in scenes]
    counts = (index.contents.video_count, index.contents.scene_count, index.contents.sample_count)
    assert counts == (len(held), len(its_scenes), sum(len(one.samples) for one in its_scenes))


def test_scores_are_cosines_of_what_was_put():
    put = {f"v{n}": scenes(20, dimension=64, seed=n) for n in range(5)}
    index = Index()
    for video_id, its_scenes in put.items():
        index = index.with_video(indexed(video(video_id), its_scenes))
    query = vectors.normalize(np.random.default_rng(9).standard_normal(64))
    for hit in find_scenes(index, query, SceneRanking(top_k=1000)):
        exact = max(float(sample.vector @ query) for sample in put[hit.video_id][hit.ordinal].samples)
        assert abs(hit.score - exact) < 1e-3  # what float16 leaves


def test_equal_frames_tie_wherever_they_are():
    same = scenes(7, dimension=51)
    index = Index()
    for name in "dbca":
        index = index.with_video(indexed(video(name), same))
    query = vectors.normalize(np.random.default_rng(1).standard_normal(51))
    hits = find_scenes(index, query, SceneRanking(top_k=4))
    assert [hit.video_id for hit in hits] == ["a", "b", "c", "d"]


def test_scores_never_leave_the_range_of_a_cosine():
    random = np.random.default_rng(2)
    rows = vectors.normalize(random.standard_normal((20, 33)))
    index = Index().with_video(indexed(video(), [scene(0, rows)]))
    unit = vectors.normalize(np.float16(rows))
    best = [find_scenes(index, query, SceneRanking())[0].score for query in unit]
    assert max(best) <= 1


def test_memory_of_replaced_videos_is_given_back():
    index = Index()
    for seed in range(50):
        index = index.with_video(indexed(video("a"), scenes(4, seed=seed)))
        index = index.with_video(indexed(video("b"), scenes(4, seed=seed)))
    assert len(index.rows) <= 3 * index.contents.sample_count
