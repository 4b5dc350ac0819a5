"""Numbers, times, enums and counts, checked as they come in."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import InvalidInputError

N = TypeVar("N", bound=int)
E = TypeVar("E")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE = 1000, 100


def enum_from(table: Mapping[N, E], number: N, field: str) -> E:
    try:
        return table[number]
    except KeyError:
        known = ", ".join(f"{known} ({member})" for known, member in table.items())
        raise InvalidInputError(f"{field} is {number}; it must be one of {known}") from None


def enum_to(table: Mapping[N, E], value: E) -> N:
    return next(number for number, member in table.items() if member == value)


def duration_to(nanoseconds: int) -> Duration:
    seconds, nanos = divmod(nanoseconds, 1_000_000_000)
    return Duration(seconds=seconds, nanos=nanos)


def duration_from(duration: Duration, field: str) -> int:
    """Nanoseconds; offsets and lengths are never negative."""
    if duration.seconds < 0 or not 0 <= duration.nanos < 1_000_000_000:
        raise InvalidInputError(f"{field} must be 0 or more, and its nanos below one second")
    return duration.seconds * 1_000_000_000 + duration.nanos


def time_to(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def time_from(stamp: Timestamp, field: str) -> datetime:
    """Rounded up to microseconds: of times in whole microseconds, the same ones are before it."""
    try:
        return EPOCH + timedelta(microseconds=-(-stamp.ToNanoseconds() // 1000))
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{field} must be in the years 1 to 9999, and its nanos below one second") from None


def count_from(value: int, low: int, high: int, field: str) -> int:
    if not low <= value <= high:
        raise InvalidInputError(f"{field} is {value}; it must be {low} to {high}")
    return value


def length_from(value: int, low: int, high: int, field: str) -> int:
    """Of a list."""
    if not low <= value <= high:
        raise InvalidInputError(f"{field} has {value} elements; it must have {low} to {high}")
    return value


def text_from(value: str, longest: int, field: str) -> str:
    if len(value) > longest:
        raise InvalidInputError(f"{field} has {len(value)} characters; at most {longest} are taken")
    return value


def page_size_from(value: int) -> int:
    if value < 0:
        raise InvalidInputError(f"page_size is {value}; it must be 0 or more")
    return min(value or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def page_number_from(page_token: str, rpc: str) -> int | None:
    """The number that a page of the RPC's list begins with; None at the beginning."""
    if not page_token:
        return None
    if not page_token.isascii() or not page_token.isdigit() or len(page_token) > 18:
        raise InvalidInputError(f"page_token {page_token[:100]!r} is none that {rpc} has returned; begin without one")
    return int(page_token)
