"""Cursors: they come back whole to the request that returned them, and to no other."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import seals
from services.common.conditions import AllOf, AnyOf, VideoIds
from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, Segment, VideoFilter, VideoScoring
from services.common.ranking import MomentPart, ScenePart, SceneRanking, VideoPart, VideoRanking
from services.store.cursors import Cursor, decode, digest, encode
from tests.strategies import conditions, counts, filters, times, video_ids

VECTOR = np.float32([0.6, 0.8])
OF = digest(VECTOR, SceneRanking())
CURSOR = Cursor(0.1, "v", 3, 0.5, datetime(2026, 1, 1, tzinfo=UTC))
IDS = (VideoIds(frozenset("a")),)

cursors = st.builds(Cursor, st.floats(-1, 1, width=32), video_ids, counts, st.floats(-1, 1, width=32), times)


@given(cursors)
def test_a_cursor_comes_back_whole(cursor):
    assert decode(encode(cursor, OF), OF) == cursor


def test_without_a_cursor_a_ranking_begins_at_the_best():
    assert decode("", OF) is None


@given(cursors, st.integers(0), st.integers(1, 63))
def test_a_cursor_with_a_changed_letter_is_refused(cursor, place, change):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = encode(cursor, OF).rstrip("=")
    place %= len(text)
    changed = letters[(letters.index(text[place]) + change) % 64]
    broken = text[:place] + changed + text[place + 1 :]
    padded = broken + "=" * (-len(broken) % 4)
    same = base64.urlsafe_b64decode(padded) == base64.urlsafe_b64decode(encode(cursor, OF))  # bits that do not count
    if not same:
        with pytest.raises(InvalidInputError, match="is none that this request has returned"):
            decode(padded, OF)


@given(st.text(min_size=1, max_size=100))
def test_any_other_text_is_refused(text):
    with pytest.raises(InvalidInputError, match="begin without a cursor"):
        decode(text, OF)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[" * 100_000,
        "[0.5, 1, 2]",
        '["a", "v", 0, 0.5, "2026-01-01T00:00:00Z"]',
        '[0.1, "v", 0, [], "2026-01-01T00:00:00Z"]',
        '[NaN, "v", 0, 0.5, "2026-01-01T00:00:00Z"]',
        f'[{10**400}, "v", 0, 0.5, "2026-01-01T00:00:00Z"]',
        '[0.1, "v", 0, 0.5, "2026-01-01T00:00:00"]',
        '[0.1, "v", 0, 0.5, "yesterday"]',
    ],
)
def test_one_that_somebody_else_has_sealed_is_refused(content):
    with pytest.raises(InvalidInputError, match="begin without a cursor"):
        decode(seals.sealed(content.encode(), OF), OF)


@pytest.mark.parametrize(
    "other",
    [
        SceneRanking(scenes_per_video=1),
        SceneRanking(video_filter=VideoFilter(frozenset("a"))),
        SceneRanking(video_filter=VideoFilter(metadata={"k": "a"})),
        SceneRanking(video_filter=VideoFilter(condition=AllOf(IDS))),
        SceneRanking(video_filter=VideoFilter(condition=AnyOf(IDS))),
        SceneRanking(scene_scoring=SceneScoring.SOFTMAX),
        SceneRanking(softmax_temperature=0.02),
        SceneRanking(time_window=Segment(0, 1)),
        SceneRanking(min_score=0.1),
        SceneRanking(relative_cutoff=0.5),
        SceneRanking(merge_ratio=0.5),
        SceneRanking(duplicate_similarity=0.5),
        SceneRanking(include_named=True),
        VideoRanking(),
        VideoRanking(video_scoring=VideoScoring.MEAN),
    ],
)
def test_a_cursor_of_another_ranking_is_refused(other):
    with pytest.raises(InvalidInputError, match="only top_k and include_thumbnails may differ"):
        decode(encode(CURSOR, digest(VECTOR, other)), OF)


def test_rankings_that_differ_in_anything_have_digests_that_differ():
    ranking = SceneRanking(video_filter=VideoFilter(condition=AllOf(IDS)))
    others = [replace(ranking, video_filter=VideoFilter(condition=AnyOf(IDS))), VideoRanking(), SceneRanking()]
    digests = {digest(VECTOR, one) for one in (ranking, *others)} | {digest(-VECTOR, ranking)}
    assert len(digests) == 5


@given(st.builds(SceneRanking, video_filter=filters), st.integers(1, 1000), st.booleans(), st.text())
def test_only_top_k_the_thumbnails_and_the_cursor_itself_may_differ(ranking, top_k, thumbnails, cursor):
    other = replace(ranking, top_k=top_k, include_thumbnails=thumbnails, cursor=cursor)
    assert digest(VECTOR, other) == digest(VECTOR.copy(), ranking)


def test_queries_that_name_other_things_have_digests_that_differ_though_their_vectors_are_equal():
    queries = [(), (ScenePart("v", 0),), (ScenePart("v", 1),), (MomentPart("v", 0),), (VideoPart("v"),)]
    assert len({digest(VECTOR, SceneRanking(), query) for query in queries}) == len(queries)


@given(conditions)
def test_a_condition_of_any_kind_has_a_digest(condition):
    of = digest(VECTOR, SceneRanking(video_filter=VideoFilter(condition=condition)))
    assert decode(encode(CURSOR, of), of) == CURSOR
