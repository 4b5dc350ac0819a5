"""What filters ask of all videos, as arrays by video number."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache, partial
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.common.media import Video
from services.store.scenes import Int64

Mask: TypeAlias = NDArray[np.bool_]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""What counts as a number: decimal, with nothing around it."""

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
MAX_INT64 = 2**63 - 1

MOST_KEYS = 64
"""So many columns are kept, whatever keys are asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A key of metadata, in every video. Its values are sorted, so that those with one prefix are neighbors."""

    values: list[str]
    """Each once."""
    codes: NDArray[np.int32]  # (V,): place among the values; -1 for videos without the key
    numbers: NDArray[np.float64]  # (V,): NaN for videos without the key, or with a value that is not a number

    @classmethod
    def of(cls, videos: Sequence[Video], key: str) -> Self:
        texts = [video.metadata.get(key) for video in videos]
        values = sorted({text for text in texts if text is not None})
        places: dict[str | None, int] = {value: place for place, value in enumerate(values)}
        codes = np.fromiter((places.get(text, -1) for text in texts), np.int32, len(texts))
        return cls(values, codes, np.array([*map(_number, values), np.nan])[codes])

    def among(self, wanted: Collection[str]) -> Mask:
        met = np.zeros(len(self.values) + 1, dtype=np.bool_)  # the last is that of code -1
        for value in wanted:
            place = bisect_left(self.values, value)
            met[place] |= self.values[place : place + 1] == [value]
        return met[self.codes]

    def beginning(self, prefix: str) -> Mask:
        first = bisect_left(self.values, prefix)
        stop = bisect_right(self.values, prefix, key=lambda value: value[: len(prefix)])
        return (first <= self.codes) & (self.codes < stop)


class Columns:
    """Those of the videos of one picture of the store, each made when it is first asked for, by any thread."""

    def __init__(self, videos: Sequence[Video]) -> None:
        self._videos = videos
        self.metadata = lru_cache(MOST_KEYS)(partial(Column.of, videos))
        """Of a key."""

    @cached_property
    def durations_ns(self) -> Int64:
        """(V,): of what could be decoded; a length beyond 64 bits is their greatest number."""
        lengths = (min(video.decoded_ns, MAX_INT64) for video in self._videos)
        return np.fromiter(lengths, np.int64, len(self._videos))

    @cached_property
    def index_times_us(self) -> Int64:
        """(V,): microseconds since the epoch."""
        times = (microseconds(video.index_time or EPOCH) for video in self._videos)
        return np.fromiter(times, np.int64, len(self._videos))


def microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND


def _number(text: str) -> float:
    """Infinite where the number is too large: it is still more than any limit."""
    return float(text) if NUMBER.fullmatch(text) else np.nan
