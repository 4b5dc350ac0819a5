"""Filters on the wire: what goes out comes back, and what is wrong is refused and its place named."""

import math
from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given

from services.common import convert
from services.common.errors import InvalidInputError
from services.common.media import VideoFilter
from tests.strategies import filters
from videosearch.v1 import media_pb2


@given(filters)
def test_a_filter_comes_back_whole(video_filter):
    assert convert.filter_from(convert.filter_to(video_filter)) == video_filter


def condition(**kind):
    return media_pb2.VideoCondition(**kind)


FINE = condition(video_ids=media_pb2.VideoIds(video_ids=["v"]))


def nested(depth):
    return FINE if depth == 1 else condition(**{"not": nested(depth - 1)})


def joined(count):
    """So many conditions, with the one that joins them."""
    return condition(any=media_pb2.VideoConditions(conditions=[FINE] * (count - 1)))


def test_conditions_may_nest_16_deep_and_number_1000():
    for largest in (nested(16), joined(1000)):
        assert convert.filter_from(media_pb2.VideoFilter(condition=largest)).condition is not None


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (nested(17), "filter.condition nests more than 16 deep"),
        (joined(1001), "filter.condition has more than 1000 conditions"),
        (condition(), "filter.condition says nothing: set one of all, any, not, video_ids"),
        (condition(all=media_pb2.VideoConditions()), "filter.condition.all.conditions is empty"),
        (condition(any=media_pb2.VideoConditions()), "filter.condition.any.conditions is empty"),
        (condition(**{"not": condition()}), "filter.condition.not says nothing"),
        (
            condition(all=media_pb2.VideoConditions(conditions=[FINE, condition()])),
            r"filter.condition.all.conditions\[1\] says nothing",
        ),
        (condition(video_ids=media_pb2.VideoIds()), "filter.condition.video_ids.video_ids has 0 elements"),
        (condition(video_ids=media_pb2.VideoIds(video_ids=["v"] * 1001)), "has 1001 elements; it must have 1 to 1000"),
        (condition(video_ids=media_pb2.VideoIds(video_ids=["a b"])), "video_ids 'a b' must be 1 to 128"),
        (
            condition(metadata_in=media_pb2.MetadataIn(key="k")),
            "filter.condition.metadata_in.values has 0 elements",
        ),
        (condition(metadata_in=media_pb2.MetadataIn(values=["v"])), "filter.condition.metadata_in.key is empty"),
        (condition(metadata_in=media_pb2.MetadataIn(key="k", values=["v" * 4097])), "values has 4097 characters"),
        (condition(metadata_prefix=media_pb2.MetadataPrefix()), "filter.condition.metadata_prefix.key is empty"),
        (condition(metadata_prefix=media_pb2.MetadataPrefix(key="k" * 129)), "key has 129 characters; at most 128"),
        (condition(metadata_range=media_pb2.MetadataRange(at_least=1)), "metadata_range.key is empty"),
        (condition(metadata_range=media_pb2.MetadataRange(key="k", below=math.nan)), "has the limit nan"),
        (condition(metadata_range=media_pb2.MetadataRange(key="k", at_least=-math.inf)), "has the limit -inf"),
        (condition(metadata_range=media_pb2.MetadataRange(key="k", at_least=1, below=1)), "below must be the greater"),
        (
            condition(duration=media_pb2.DurationRange(at_least=Duration(seconds=2), below=Duration(seconds=1))),
            "filter.condition.duration has at_least 2000000000 and below 1000000000: below must be the greater",
        ),
        (
            condition(duration=media_pb2.DurationRange(at_least=Duration(seconds=-1))),
            "filter.condition.duration.at_least must be 0 or more",
        ),
        (
            condition(index_time=media_pb2.TimeRange(at_least=Timestamp(seconds=1), below=Timestamp(seconds=1))),
            "filter.condition.index_time .* below must be the greater",
        ),
        (condition(index_time=media_pb2.TimeRange(below=Timestamp(seconds=10**12))), "in the years 1 to 9999"),
        (condition(index_time=media_pb2.TimeRange(below=Timestamp(nanos=10**9))), "its nanos below one second"),
    ],
)
def test_a_bad_condition_is_refused_and_its_place_is_named(bad, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        convert.filter_from(media_pb2.VideoFilter(condition=bad))


@pytest.mark.parametrize(("nanos", "microsecond"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (999_999_000, 999_999)])
def test_a_time_is_rounded_up_to_whole_microseconds(nanos, microsecond):
    found = convert.time_from(Timestamp(seconds=5, nanos=nanos), "time")
    assert found == datetime(1970, 1, 1, 0, 0, 5, microsecond, tzinfo=UTC)


def test_a_filter_of_too_many_videos_is_refused():
    with pytest.raises(InvalidInputError, match=r"filter.video_ids has 1001 elements; it must have 1 to 1000"):
        convert.filter_from(media_pb2.VideoFilter(video_ids=[str(n) for n in range(1001)]))


def test_a_filter_of_no_videos_means_all():
    assert convert.filter_from(media_pb2.VideoFilter()) == VideoFilter()
