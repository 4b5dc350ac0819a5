"""Times as arguments say them."""

import re
from datetime import datetime
from fractions import Fraction

from services.common.errors import InvalidInputError
from services.common.media import nanoseconds

WRITTEN = re.compile(r"\d{1,6}(:[0-5]?\d){0,2}(\.\d{1,9})?", re.ASCII)


def nanoseconds_of(text: str, argument: str) -> int:
    """An offset or a length: seconds, or minutes and seconds, or hours, minutes and seconds; `argument` is all said."""
    if not WRITTEN.fullmatch(text):
        raise InvalidInputError(f"{argument}: {text!r} is no time; write seconds (42.5) or [HH:]MM:SS (1:02:03.5)")
    seconds = Fraction(0)
    for number in text.split(":"):
        seconds = 60 * seconds + Fraction(number)
    return nanoseconds(seconds)


def instant_of(text: str, argument: str) -> datetime:
    """A date, which is its first instant, or a time; without a zone it is this machine's."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{argument}: {text!r} is no date or time; write it as 2026-12-31 or 2026-12-31T18:00"
        ) from None
