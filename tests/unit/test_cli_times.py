import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.output import timecode
from cli.times import instant_of, nanoseconds_of
from services.common.errors import InvalidInputError

MILLISECOND = 1_000_000


@pytest.fixture
def two_hours_east(monkeypatch):
    monkeypatch.setenv("TZ", "EET-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("42.5", 42_500_000_000),
        ("0.000000001", 1),
        ("1:02", 62_000_000_000),
        ("90:00", 5_400_000_000_000),
        ("1:2:3.25", 3_723_250_000_000),
        ("999999:59:59.999999999", 3_599_999_999_999_999_999),
    ],
)
def test_a_time_is_seconds_or_minutes_or_hours(text, nanoseconds):
    assert nanoseconds_of(text, "--window") == nanoseconds


@given(st.integers(0, 10**12))
def test_what_is_printed_can_be_given_back(milliseconds):
    assert nanoseconds_of(timecode(milliseconds * MILLISECOND), "--window") == milliseconds * MILLISECOND


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", "1e3", "nan", "inf", "1_0", " 1", "1 ", ".5", "5.", "1:60", "1:60:00", "1:2:3:4", ":30"),
        *("1:", "1000000", "0.0000000001", "1.5:00", "1,5", "10s", "1\n", "\N{ARABIC-INDIC DIGIT TWO}"),
    ],
)
def test_anything_else_is_no_time(text):
    with pytest.raises(InvalidInputError) as refused:
        nanoseconds_of(text, "--like bbb")
    assert str(refused.value) == f"--like bbb: {text!r} is no time; write seconds (42.5) or [HH:]MM:SS (1:02:03.5)"


@pytest.mark.usefixtures("two_hours_east")
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01", datetime(2026, 2, 28, 22, tzinfo=UTC)),
        ("2026-03-01T10:30", datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        ("2026-03-01 10:30:05.5", datetime(2026, 3, 1, 8, 30, 5, 500_000, tzinfo=UTC)),
        ("2026-03-01T10:30Z", datetime(2026, 3, 1, 10, 30, tzinfo=UTC)),
        ("2026-03-01T10:30+01:00", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
    ],
)
def test_an_instant_without_a_zone_is_this_machines(text, instant):
    assert instant_of(text, "--indexed-since") == instant


@pytest.mark.usefixtures("two_hours_east")
@pytest.mark.parametrize("text", ["", "yesterday", "2026", "2026-13-01", "10:30", "0001-01-01", "1772359200"])
def test_anything_else_is_no_instant(text):
    with pytest.raises(InvalidInputError) as refused:
        instant_of(text, "--indexed-since")
    reason = f"{text!r} is no date or time; write it as 2026-12-31 or 2026-12-31T18:00"
    assert str(refused.value) == f"--indexed-since: {reason}"
