"""What is merged, left out as duplicates, capped and cut off, against a twin that does the same one hit at a time.

The twin starts from the plain ranking, whose own twin is in test_store_ranking.py.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, Segment, VideoFilter, VideoScoring
from services.common.ranking import (
    EmbeddingPart,
    FilteredCounts,
    MomentPart,
    ScenePart,
    SceneRanking,
    VideoPart,
    VideoRanking,
    floor_of,
)
from services.store.index import Index
from services.store.queries import find_scenes, find_videos
from tests.stores import MODEL, SECOND, indexed, query_of, scene, scene_pages, scenes, video, video_pages
from tests.unit.test_store_ranking import UNIT_VECTORS

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = "abcd"

embedding = st.integers(0, 11)
a_scene = st.tuples(st.lists(embedding, min_size=1, max_size=3), st.booleans())
a_video = st.tuples(st.sampled_from(["", "film", "other"]), st.lists(a_scene, min_size=1, max_size=6))
worlds = st.lists(a_video, min_size=1, max_size=4)
shares = st.none() | st.sampled_from([0.3, 0.6, 0.9, 1.0])
options = {
    "video_filter": st.just(VideoFilter()) | st.just(VideoFilter(frozenset("abc"))),
    "scene_scoring": st.sampled_from([SceneScoring.BEST, SceneScoring.MEAN]),
    "time_window": st.none() | st.just(Segment(3 * SECOND, 9 * SECOND)),
    "min_score": st.none() | st.sampled_from([-0.5, 0.0, 0.25, 0.5]),
    "relative_cutoff": shares,
    "merge_ratio": shares,
    "duplicate_similarity": shares,
    "include_named": st.booleans(),
}
scene_rankings = st.builds(SceneRanking, scenes_per_video=st.none() | st.integers(1, 2), **options)
video_rankings = st.builds(
    VideoRanking,
    scenes_per_video=st.integers(0, 4),
    video_scoring=st.sampled_from(VideoScoring),
    top_scene_count=st.integers(1, 3),
    **options,
)
named_parts = st.one_of(
    st.builds(ScenePart, st.just("a"), st.just(0)),
    st.builds(MomentPart, st.just("a"), st.integers(0, 10 * SECOND)),
    st.builds(VideoPart, st.just("b")),
)
queries = st.tuples(
    st.lists(st.integers(0, 11).map(lambda row: EmbeddingPart(UNIT_VECTORS[row], MODEL)), min_size=1, max_size=2),
    st.lists(named_parts, max_size=2),
).map(lambda parts: (*parts[0], *parts[1]))


class World:
    """Some videos, and an index of them."""

    def __init__(self, made):
        self.index, self.scenes, self.files = Index(), {}, {}
        for number, (file, rows) in enumerate([*made, *[made[0]] * (2 - len(made))]):  # a and b are always there
            its = [self._scene(ordinal, *one) for ordinal, one in enumerate(rows)]
            name = NAMES[number]
            self.scenes |= {(name, one.ordinal): one for one in its}
            self.files[name] = file
            stored = video(name, content_sha256=file, index_time=START + timedelta(seconds=number))
            self.index = self.index.with_video(indexed(stored, its))

    def _scene(self, ordinal, rows, gap):
        one = scene(ordinal, UNIT_VECTORS[rows])
        return replace(one, segment=replace(one.segment, end_ns=one.segment.end_ns - gap * SECOND // 2))

    def mean(self, *keys):
        """(D,): of all samples of these scenes, normalized."""
        total = sum(np.float64(sample.vector) for key in keys for sample in self.scenes[key].samples)
        length = np.linalg.norm(total)
        return total / length if length else total

    def scenes_of(self, name):
        return [key for key in self.scenes if key[0] == name]

    def named(self, query):
        """Scenes and videos."""
        named_scenes = {(part.video_id, part.ordinal) for part in query if isinstance(part, ScenePart)}
        for part in query:
            if isinstance(part, MomentPart):
                near = [
                    (abs(sample.offset_ns - part.offset_ns), key)
                    for key in self.scenes_of(part.video_id)
                    for sample in self.scenes[key].samples
                ]
                named_scenes.add(min(near)[1])
        return named_scenes, {part.video_id for part in query if isinstance(part, VideoPart)}


def alike(vector, others, similarity):
    return any(vector @ other >= similarity - 1e-6 for other in others)


def floor(ranking, best):
    floors = [-np.inf] if ranking.min_score is None else [ranking.min_score]
    return max([*floors, *([] if ranking.relative_cutoff is None else [floor_of(best, ranking.relative_cutoff)])])


def merged(hits, ratio, least):
    """Hits, best first, each with those that it takes in."""
    by_key, taken = {(hit.video_id, hit.ordinal): hit for hit in hits}, set()
    for hit in hits:
        key = (hit.video_id, hit.ordinal)
        if key in taken:
            continue
        taken.add(key)
        grown = hit
        for step in (-1, 1):
            last, neighbor = hit, by_key.get((hit.video_id, hit.ordinal + step))
            while (
                neighbor
                and (neighbor.video_id, neighbor.ordinal) not in taken
                and neighbor.score >= max(floor_of(hit.score, ratio), least)
                and (
                    neighbor.segment.end_ns == last.segment.start_ns or neighbor.segment.start_ns == last.segment.end_ns
                )
            ):
                taken.add((neighbor.video_id, neighbor.ordinal))
                if step < 0:
                    span = replace(grown.segment, start_ns=neighbor.segment.start_ns)
                    grown = replace(grown, segment=span, merged_before=grown.merged_before + 1)
                else:
                    span = replace(grown.segment, end_ns=neighbor.segment.end_ns)
                    grown = replace(grown, segment=span, merged_after=grown.merged_after + 1)
                last, neighbor = neighbor, by_key.get((hit.video_id, neighbor.ordinal + step))
        yield grown


def distinct(things, mean_of, similarity, known, cap=None):
    """Which are kept, and which are like one of those."""
    known, kept, dropped = list(known), [], []
    for thing in things:
        if alike(mean_of(thing), known, similarity):
            dropped.append(thing)
        elif cap is None or sum(thing.video_id == other.video_id for other in kept) < cap:
            kept.append(thing)
            known.append(mean_of(thing))
    return kept, dropped


def capped(hits, cap):
    taken = {}
    for hit in hits:
        taken[hit.video_id] = taken.get(hit.video_id, 0) + 1
        if cap is None or taken[hit.video_id] <= cap:
            yield hit


def plain(world, query, ranking):
    """All scenes of the filter and the window, best first."""
    asked = SceneRanking(1000, None, ranking.video_filter, ranking.scene_scoring, time_window=ranking.time_window)
    return find_scenes(world.index, query, replace(asked, include_named=True)).hits


def twin_scenes(world, query, ranking):
    """All hits, how many are too low, and how many duplicates."""
    named_scenes, named_videos = (set(), set()) if ranking.include_named else world.named(query)
    hits = [
        hit
        for hit in plain(world, query, ranking)
        if hit.video_id not in named_videos and (hit.video_id, hit.ordinal) not in named_scenes
    ]
    if not hits:
        return [], 0, 0

    def mean_of(hit):
        return world.mean((hit.video_id, hit.ordinal))

    known, best = [world.mean(key) for key in named_scenes], hits[0].score
    if ranking.duplicate_similarity is not None:
        unlike = (hit.score for hit in hits if not alike(mean_of(hit), known, ranking.duplicate_similarity))
        best = next(unlike, best)
    least, dropped = floor(ranking, best), []
    if ranking.merge_ratio is not None:
        hits = list(merged(hits, ranking.merge_ratio, least))
    if ranking.duplicate_similarity is not None:
        hits, dropped = distinct(hits, mean_of, ranking.duplicate_similarity, known, ranking.scenes_per_video)
    hits = list(capped(hits, ranking.scenes_per_video))
    passing = [hit for hit in hits if hit.score >= least]
    return passing, len(hits) - len(passing), sum(hit.score >= least for hit in dropped)


def twin_videos(world, query, ranking):
    """Likewise; hits as (score, video id, scenes)."""
    named_scenes, named_videos = world.named(query)
    left_out = set() if ranking.include_named else named_videos | {name for name, _ in named_scenes}
    every = plain(world, query, ranking)
    asked = replace(
        ranking,
        top_k=1000,
        scenes_per_video=0,
        min_score=None,
        relative_cutoff=None,
        merge_ratio=None,
        duplicate_similarity=None,
        include_named=True,
    )
    hits = [(hit.score, hit.video.video_id) for hit in find_videos(world.index, query, asked).hits]
    hits, dropped = [hit for hit in hits if hit[1] not in left_out], []
    if ranking.duplicate_similarity is not None:
        hits, dropped = distinct_videos(world, hits, ranking.duplicate_similarity, left_out)
    least = floor(ranking, hits[0][0] if hits else 0)
    passing = [hit for hit in hits if hit[0] >= least]
    with_scenes = [(*hit, scenes_inside(world, every, hit[1], ranking)) for hit in passing]
    return with_scenes, len(hits) - len(passing), sum(hit[0] >= least for hit in dropped)


def distinct_videos(world, hits, similarity, left_out):
    files = {world.files[name] for name in left_out} - {""}
    known, kept, dropped = [world.mean(*world.scenes_of(name)) for name in left_out], [], []
    for hit in hits:
        mean, file = world.mean(*world.scenes_of(hit[1])), world.files[hit[1]]
        if alike(mean, known, similarity) or file in files:
            dropped.append(hit)
        else:
            kept.append(hit)
            known.append(mean)
            files |= {file} - {""}
    return kept, dropped


def scenes_inside(world, every, name, ranking):
    its = [hit for hit in every if hit.video_id == name]
    if ranking.merge_ratio is not None:
        its = list(merged(its, ranking.merge_ratio, -np.inf))
    if ranking.duplicate_similarity is not None:
        its, _ = distinct(its, lambda hit: world.mean((hit.video_id, hit.ordinal)), ranking.duplicate_similarity, [])
    return tuple(its[: ranking.scenes_per_video])


@given(worlds.map(World), queries, scene_rankings, st.integers(1, 4))
def test_scenes_are_those_of_the_twin_on_one_page_and_on_many(world, query, ranking, top_k):
    hits, low, duplicates = twin_scenes(world, query, ranking)
    (whole,) = scene_pages(world.index, query, replace(ranking, top_k=1000))
    pages = list(scene_pages(world.index, query, replace(ranking, top_k=top_k)))
    assert list(whole.hits) == [hit for page in pages for hit in page.hits] == hits
    assert (whole.filtered.low_score_count, whole.filtered.duplicate_count) == (low, duplicates)
    assert sum(page.filtered.duplicate_count for page in pages) == duplicates
    last = pages[-1]
    assert last.filtered.low_score_count == min(low, top_k - len(last.hits))
    assert not any(page.filtered.low_score_count for page in pages[:-1])


@given(worlds.map(World), queries, video_rankings, st.integers(1, 3))
def test_videos_are_those_of_the_twin_on_one_page_and_on_many(world, query, ranking, top_k):
    hits, low, duplicates = twin_videos(world, query, ranking)
    (whole,) = video_pages(world.index, query, replace(ranking, top_k=1000))
    pages = list(video_pages(world.index, query, replace(ranking, top_k=top_k)))
    assert [(hit.score, hit.video.video_id, hit.scenes) for hit in whole.hits] == hits
    assert [hit for page in pages for hit in page.hits] == list(whole.hits)
    assert (whole.filtered.low_score_count, whole.filtered.duplicate_count) == (low, duplicates)
    assert sum(page.filtered.duplicate_count for page in pages) == duplicates


@given(worlds.map(World), queries, st.one_of(scene_rankings, video_rankings), st.data())
def test_pages_of_any_sizes_make_up_the_ranking_while_other_videos_are_put(world, query, ranking, data):
    find, answer = (video_pages, find_videos) if isinstance(ranking, VideoRanking) else (scene_pages, find_scenes)
    wanted = answer(world.index, query, replace(ranking, top_k=1000)).hits
    index, found, cursor = world.index, [], ""
    for turn in range(100):
        top_k = data.draw(st.integers(1, 5))
        page = next(find(index, query, replace(ranking, top_k=top_k, cursor=cursor)))
        found.extend(page.hits)
        cursor = page.next_cursor
        if not cursor:
            break
        new = video(f"n{turn % 3}", index_time=START + timedelta(days=1, seconds=turn))
        index = index.with_video(indexed(new, scenes(2, dimension=4, seed=turn)))
    assert found == list(wanted)


@given(worlds.map(World), queries, scene_rankings)
def test_merging_never_invents_or_loses_a_span(world, query, ranking):
    ranking = replace(ranking, top_k=2, scenes_per_video=None, duplicate_similarity=None, merge_ratio=0.5)
    merging = [hit for page in scene_pages(world.index, query, ranking) for hit in page.hits]
    single = [hit for page in scene_pages(world.index, query, replace(ranking, merge_ratio=None)) for hit in page.hits]
    covered = [
        (hit.video_id, ordinal)
        for hit in merging
        for ordinal in range(hit.ordinal - hit.merged_before, hit.ordinal + hit.merged_after + 1)
    ]
    assert sorted(covered) == sorted((hit.video_id, hit.ordinal) for hit in single)
    for hit in merging:
        first, last = (
            world.scenes[hit.video_id, ordinal].segment
            for ordinal in (hit.ordinal - hit.merged_before, hit.ordinal + hit.merged_after)
        )
        assert hit.segment == Segment(first.start_ns, last.end_ns)
        its = [world.scenes[hit.video_id, n].segment for n in range(len(world.scenes_of(hit.video_id)))]
        inside = its[hit.ordinal - hit.merged_before : hit.ordinal + hit.merged_after + 1]
        assert all(left.end_ns == right.start_ns for left, right in pairwise(inside))


@given(worlds.map(World), queries, scene_rankings)
def test_filtered_counts_say_what_may_not_be_found(world, query, ranking):
    named_scenes, named_videos = (set(), set()) if ranking.include_named else world.named(query)
    wanted = ranking.video_filter.video_ids or frozenset(NAMES)
    window = ranking.time_window or Segment(0, 1000 * SECOND)
    videos = {name for name in world.files if name in wanted} - named_videos
    scenes_left = [
        key
        for key, one in world.scenes.items()
        if key[0] in videos
        and key not in named_scenes
        and one.segment.start_ns < window.end_ns
        and one.segment.end_ns > window.start_ns
    ]
    filtered = next(scene_pages(world.index, query, ranking)).filtered
    assert filtered.video_count == len(world.files) - len(videos)
    assert filtered.scene_count == sum(key[0] in videos for key in world.scenes) - len(scenes_left)


def test_videos_that_came_later_are_none_that_were_left_out():
    index = Index()
    for name in "ab":
        index = index.with_video(indexed(video(name, index_time=START), scenes(2)))
    query = query_of(scenes(1)[0].samples[0].vector)
    page = next(scene_pages(index, query, SceneRanking(top_k=1)))
    index = index.with_video(indexed(video("c", index_time=START + timedelta(seconds=1)), scenes(2)))
    only = SceneRanking(top_k=1, video_filter=VideoFilter(frozenset("a")))
    assert next(scene_pages(index, query, SceneRanking(cursor=page.next_cursor))).filtered == FilteredCounts()
    assert next(scene_pages(index, query, only)).filtered.video_count == 2


def test_a_deletion_between_pages_does_not_move_the_cut_off():
    index = Index()
    for name, cosine in (("a", 1.0), ("b", 0.8), ("c", 0.6), ("d", 0.5)):
        one = scene(0, [np.float32([cosine, np.sqrt(1 - cosine**2)])])
        index = index.with_video(indexed(video(name, index_time=START), [one]))
    query, ranking = query_of(np.float32([1, 0])), SceneRanking(top_k=1, relative_cutoff=0.55)
    pages = scene_pages(index, query, ranking)
    assert [hit.video_id for page in pages for hit in page.hits] == ["a", "b", "c"]
    cursor = next(scene_pages(index, query, ranking)).next_cursor
    rest = scene_pages(index.without("a"), query, replace(ranking, cursor=cursor))
    assert [hit.video_id for page in rest for hit in page.hits] == ["b", "c"]
    ranking = VideoRanking(top_k=1, relative_cutoff=0.55)
    pages = video_pages(index, query, ranking)
    assert [hit.video.video_id for page in pages for hit in page.hits] == ["a", "b", "c"]
    cursor = next(video_pages(index, query, ranking)).next_cursor
    rest = video_pages(index.without("a"), query, replace(ranking, cursor=cursor))
    assert [hit.video.video_id for page in rest for hit in page.hits] == ["b", "c"]


def test_a_ranking_with_diversity_has_one_page_only():
    index = Index().with_video(indexed(video("a"), scenes(2))).with_video(indexed(video("b"), scenes(2, seed=1)))
    query = query_of(scenes(1)[0].samples[0].vector)
    diverse = VideoRanking(top_k=1, diversity=0.5)
    assert [page.next_cursor for page in video_pages(index, query, diverse)] == [""]
    cursor = next(video_pages(index, query, VideoRanking(top_k=1))).next_cursor
    with pytest.raises(InvalidInputError, match="diversity has no further pages"):
        find_videos(index, query, replace(diverse, cursor=cursor))
