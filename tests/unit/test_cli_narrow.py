from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from hypothesis import given

from cli import narrow
from services.common import convert
from services.common.conditions import AllOf, DurationRange, MetadataRange, Not, TimeRange, VideoIds
from services.common.errors import InvalidInputError
from services.common.media import Segment, VideoFilter
from tests import strategies
from tests.stores import SECOND

EARLY, LATE = "2026-01-01T00:00Z", "2026-02-01T00:00Z"
JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def refusal(narrowing, *arguments):
    with pytest.raises(InvalidInputError) as refused:
        narrowing(*arguments)
    return str(refused.value)


def test_nothing_said_narrows_nothing():
    nothing = (narrow.length(None, None), narrow.index_time(None, None), narrow.condition(None))
    assert nothing == (None, None, None)
    assert narrow.filter_of(None, None, *nothing) == VideoFilter()
    assert narrow.window(None) is None


def test_videos_and_metadata_are_as_they_are_said():
    assert narrow.filter_of(["a", "b"], ["kind=real"]) == VideoFilter(frozenset("ab"), {"kind": "real"})


def test_one_condition_stands_by_itself_and_several_must_all_hold():
    long, some = DurationRange(SECOND, None), VideoIds(frozenset("a"))
    assert narrow.filter_of(None, None, None, long).condition == long
    assert narrow.filter_of(None, None, long, None, some).condition == AllOf((long, some))


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        ("1:00", None, DurationRange(60 * SECOND, None)),
        (None, "90", DurationRange(None, 90 * SECOND + 1)),
        ("5", "5", DurationRange(5 * SECOND, 5 * SECOND + 1)),
    ],
)
def test_a_video_may_be_just_as_long_as_its_limits(least, most, expected):
    assert narrow.length(least, most) == expected


def test_the_least_length_is_not_above_the_most():
    assert refusal(narrow.length, "1:31", "90") == "--min-length 1:31 is more than --max-length 90"


@pytest.mark.parametrize(("limits", "option"), [(("x", None), "--min-length"), ((None, "x"), "--max-length")])
def test_a_length_that_is_no_time_is_refused_by_its_option(limits, option):
    assert refusal(narrow.length, *limits).startswith(f"{option}: 'x' is no time")


@pytest.mark.parametrize(
    ("since", "before", "expected"),
    [
        (EARLY, None, TimeRange(JANUARY, None)),
        (None, LATE, TimeRange(None, FEBRUARY)),
        (EARLY, LATE, TimeRange(JANUARY, FEBRUARY)),
    ],
)
def test_a_video_is_indexed_since_one_time_and_before_another(since, before, expected):
    assert narrow.index_time(since, before) == expected


def test_a_span_of_index_times_is_not_empty():
    expected = f"--indexed-since {LATE} is not before --indexed-before {LATE}"
    assert refusal(narrow.index_time, LATE, LATE) == expected


@pytest.mark.parametrize(("limits", "option"), [(("x", None), "--indexed-since"), ((None, "x"), "--indexed-before")])
def test_an_index_time_that_is_none_is_refused_by_its_option(limits, option):
    assert refusal(narrow.index_time, *limits).startswith(f"{option}: 'x' is no date or time")


def test_where_is_a_condition_in_json():
    said = '{"not": {"metadataRange": {"key": "year", "atLeast": 2020}}}'
    assert narrow.condition(said) == Not(MetadataRange("year", 2020, None))


@given(strategies.conditions)
def test_where_can_say_any_condition(condition):
    said = json_format.MessageToJson(convert.filter_to(VideoFilter(condition=condition)).condition)
    assert narrow.condition(said) == condition


def test_where_may_be_in_a_file(tmp_path):
    (tmp_path / "where.json").write_text('{"duration": {"below": "90s"}}')
    assert narrow.condition(f"@{tmp_path}/where.json") == DurationRange(None, 90 * SECOND)


def test_where_must_be_readable(tmp_path):
    assert (
        refusal(narrow.condition, f"@{tmp_path}/x")
        == f"--where @{tmp_path}/x cannot be read: No such file or directory"
    )
    (tmp_path / "latin").write_bytes(b"\xe4")
    assert refusal(narrow.condition, f"@{tmp_path}/latin").startswith("--where is no VideoCondition: 'utf-8' codec")


@pytest.mark.parametrize("said", ["", "year", '{"year": 2020}', '{"not": 1}', '{"duration": {"below": 90}}'])
def test_where_that_is_no_condition_is_refused_in_one_line(said):
    reason = refusal(narrow.condition, said)
    assert reason.startswith("--where is no VideoCondition: ")
    assert "\n" not in reason


@pytest.mark.parametrize("said", ["{}", "[]"])
def test_where_that_says_nothing_is_refused(said):
    assert refusal(narrow.condition, said).startswith("filter.condition says nothing: set one of all, any, not")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("30-1:00", Segment(30 * SECOND, 60 * SECOND)),
        ("1:30-", Segment(90 * SECOND, narrow.FOREVER_NS)),
        ("-0.5", Segment(0, SECOND // 2)),
    ],
)
def test_a_window_may_be_open_at_one_side(said, expected):
    assert narrow.window(said) == expected


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("-", "--window -: write it as START-END, START- or -END"),
        ("", "--window : write it as START-END, START- or -END"),
        ("30", "--window 30: write it as START-END, START- or -END"),
        ("60-1:00", "--window 60-1:00 does not end after it starts"),
        ("1:00-30", "--window 1:00-30 does not end after it starts"),
        ("-0", "--window -0 does not end after it starts"),
    ],
)
def test_a_window_that_holds_nothing_is_refused(said, reason):
    assert refusal(narrow.window, said) == reason


@pytest.mark.parametrize("said", ["x-1", "1-x", "1-2-3"])
def test_a_window_has_times(said):
    assert "is no time" in refusal(narrow.window, said)
