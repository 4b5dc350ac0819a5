"""Rankings against a twin that does the same one scene at a time.

Vectors have components 0, 1/2 and 1, and samples and scenes come by 1, 2 or 4, so that scores are exact: ties too.
"""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.common import vectors
from services.common.media import SceneHit, SceneScoring, VideoFilter, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from services.store.index import Index
from services.store.ranking import find_scenes, find_videos
from tests.stores import indexed, scene, scenes, video

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
scene_scorings, video_scorings = st.sampled_from(SceneScoring), st.sampled_from(VideoScoring)
scene_rankings = st.builds(SceneRanking, st.integers(1, 20), st.none() | st.integers(1, 3), filters, scene_scorings)
video_rankings = st.builds(VideoRanking, st.integers(1, 6), st.integers(0, 5), filters, scene_scorings, video_scorings)


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
    return max(scores) if scoring == "best" else sum(scores) / len(scores)


def twin_hits(held, query, ranking):
    """All scenes that the filter lets through, best first."""
    wanted = ranking.video_filter
    hits = []
    for video_id, (metadata, its_scenes) in held.items():
        if (wanted.video_ids and video_id not in wanted.video_ids) or not wanted.metadata.items() <= metadata.items():
            continue
        for one in its_scenes:
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
    scored = [
        (combined([hit.score for hit in hits], ranking.video_scoring), video_id, hits[: ranking.scenes_per_video])
        for video_id, hits in of_video.items()
    ]
    return sorted(scored, key=lambda one: (-one[0], one[1]))[: ranking.top_k]


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
        assert found == twin_videos(held, UNIT_VECTORS[query], ranking)


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
    assert len(index.rows.vectors) <= 3 * index.contents.sample_count
