"""Filters on all videos at once, against the same conditions on one video at a time."""

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.conditions import (
    AllOf,
    AnyOf,
    DurationRange,
    MetadataIn,
    MetadataPrefix,
    MetadataRange,
    Not,
    TimeRange,
    VideoIds,
)
from services.common.media import VideoFilter
from services.store.filters import selected
from services.store.index import Index
from tests.stores import indexed, scenes, video
from tests.strategies import conditions_on

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = ["", "a", "ab", "abc", "b", "a\N{GRINNING FACE}", "7", "-0.5", "+1e3", ".5", "1."]
NO_NUMBERS = ["nan", "inf", "-Infinity", "1_000", " 7", "7 ", "7\n", "0x7", "e3", ".", "\N{FULLWIDTH DIGIT SEVEN}"]

ids, keys, values = st.sampled_from("abcde"), st.sampled_from(["k", "l", "m"]), st.sampled_from(TEXTS + NO_NUMBERS)
instants = st.integers(0, 5).map(lambda second: START + timedelta(seconds=second))
numbers = st.sampled_from([-1e300, -1.0, -0.5, 0.0, 0.5, 1.0, 7.0, 999.5, 1000.0])
conditions = conditions_on(ids, keys, values, numbers, instants)
pairs = st.dictionaries(keys, values, max_size=2)
filters = st.builds(VideoFilter, st.frozensets(ids, max_size=3), pairs, st.none() | conditions)
videos = st.builds(video, ids, metadata=pairs, decoded_ns=st.integers(0, 10**18) | st.just(2**70), index_time=instants)
stored = st.lists(videos, max_size=5, unique_by=lambda one: one.video_id)


def index_of(its_videos):
    """As if each had some scenes; the one with an odd place is dead."""
    alive = np.arange(len(its_videos)) % 2 == 0
    numbers = {one.video_id: place for place, one in enumerate(its_videos) if alive[place]}
    return Index(numbers=numbers, videos=its_videos, alive=alive)


def number_of(text):
    if not text or not set(text) <= set("0123456789.+-eE"):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def within(value, at_least, below):
    return value is not None and (at_least is None or at_least <= value) and (below is None or value < below)


MEETS = {
    AllOf: lambda one, condition: all(meets(one, each) for each in condition.conditions),
    AnyOf: lambda one, condition: any(meets(one, each) for each in condition.conditions),
    Not: lambda one, condition: not meets(one, condition.condition),
    VideoIds: lambda one, condition: one.video_id in condition.video_ids,
    MetadataIn: lambda one, condition: one.metadata.get(condition.key) in condition.values,
    MetadataPrefix: lambda one, condition: (
        (one.metadata.get(condition.key) or "").startswith(condition.prefix) and condition.key in one.metadata
    ),
    MetadataRange: lambda one, condition: within(
        number_of(one.metadata.get(condition.key)), condition.at_least, condition.below
    ),
    DurationRange: lambda one, condition: within(one.decoded_ns, condition.at_least_ns, condition.below_ns),
    TimeRange: lambda one, condition: within(one.index_time, condition.at_least, condition.below),
}


def meets(one, condition):
    return MEETS[type(condition)](one, condition)


def passes(one, video_filter):
    return (
        (not video_filter.video_ids or one.video_id in video_filter.video_ids)
        and video_filter.metadata.items() <= one.metadata.items()
        and (video_filter.condition is None or meets(one, video_filter.condition))
    )


@given(stored, filters)
def test_a_filter_selects_what_its_conditions_say_of_each_living_video(its_videos, video_filter):
    wanted = [place % 2 == 0 and passes(one, video_filter) for place, one in enumerate(its_videos)]
    assert selected(index_of(its_videos), video_filter).tolist() == wanted


@given(stored, filters, instants)
def test_what_was_stored_after_the_newest_is_left_out(its_videos, video_filter, newest):
    index = index_of(its_videos)
    old = np.array([one.index_time <= newest for one in its_videos], dtype=bool)
    assert selected(index, video_filter, newest).tolist() == (selected(index, video_filter) & old).tolist()


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_a_value_that_is_no_plain_number_is_in_no_range(text):
    index = index_of([video(metadata={"k": text})])
    assert not selected(index, VideoFilter(condition=MetadataRange("k", None, None))).any()


def test_a_number_too_large_for_a_float_is_above_all_limits():
    index = index_of([video(metadata={"k": "1e999"})])
    assert selected(index, VideoFilter(condition=MetadataRange("k", 1e308, None))).all()
    assert not selected(index, VideoFilter(condition=MetadataRange("k", None, 1e308))).any()


def test_a_filter_sees_what_the_picture_of_the_store_holds_and_not_the_one_before():
    wanted = VideoFilter(condition=MetadataIn("kind", frozenset({"film"})))
    empty = Index()
    first = empty.with_video(indexed(video("a", metadata={"kind": "film"}), scenes(1)))
    second = first.with_video(indexed(video("b", metadata={"kind": "film"}), scenes(1)))
    changed = second.with_changed(replace(second.found("a"), metadata={}))
    counts = [int(selected(index, wanted).sum()) for index in (empty, first, second, changed, second)]
    assert counts == [0, 1, 2, 1, 2]


def test_many_conditions_take_no_more_memory_than_a_few():
    index = index_of([video(str(number)) for number in range(20_000)])
    one = MetadataIn("k", frozenset({"a"}))
    peaks = [peak_bytes(index, joined((one,) * count)) for joined in (AllOf, AnyOf) for count in (2, 900)]
    assert max(peaks) < 1_000_000


def peak_bytes(index, condition):
    """What selecting with the condition takes at most."""
    selected(index, VideoFilter(condition=condition))  # its column is kept from now on
    tracemalloc.start()
    selected(index, VideoFilter(condition=condition))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak
