"""Which videos a filter lets through: conditions on all videos at once."""

from collections.abc import Collection
from datetime import datetime
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.common.conditions import (
    AllOf,
    AnyOf,
    Condition,
    DurationRange,
    MetadataIn,
    MetadataPrefix,
    MetadataRange,
    Not,
    TimeRange,
    VideoIds,
)
from services.common.media import VideoFilter
from services.store.columns import Columns, Mask, microseconds
from services.store.index import Index

Numbers: TypeAlias = NDArray[np.int64] | NDArray[np.float64]


def selected(index: Index, video_filter: VideoFilter, newest: datetime | None = None) -> Mask:
    """(V,): which numbers are alive, meet the conditions and, if `newest` is given, were stored by then."""
    chosen = index.alive.copy()
    if newest:
        chosen &= index.columns.index_times_us <= microseconds(newest)
    if video_filter.video_ids:
        chosen &= _with_ids(index, video_filter.video_ids)
    for key, value in video_filter.metadata.items():
        chosen &= index.columns.metadata(key).among({value})
    if video_filter.condition:
        chosen &= _met(index, video_filter.condition)
    return chosen


def _met(index: Index, condition: Condition) -> Mask:
    """(V,): which numbers meet the condition, dead ones too."""
    match condition:
        case AllOf(conditions):
            return reduce(np.logical_and, (_met(index, each) for each in conditions))
        case AnyOf(conditions):
            return reduce(np.logical_or, (_met(index, each) for each in conditions))
        case Not(denied):
            return ~_met(index, denied)
        case VideoIds(video_ids):
            return _with_ids(index, video_ids)
        case _:
            return _fits(index.columns, condition)


def _fits(columns: Columns, condition: MetadataIn | MetadataPrefix | MetadataRange | DurationRange | TimeRange) -> Mask:
    match condition:
        case MetadataIn(key, values):
            return columns.metadata(key).among(values)
        case MetadataPrefix(key, prefix):
            return columns.metadata(key).beginning(prefix)
        case MetadataRange(key, at_least, below):
            return _within(columns.metadata(key).numbers, at_least, below)
        case DurationRange(at_least_ns, below_ns):
            return _within(columns.durations_ns, at_least_ns, below_ns)
        case TimeRange(first, stop):
            limits = (None if time is None else microseconds(time) for time in (first, stop))
            return _within(columns.index_times_us, *limits)


def _with_ids(index: Index, video_ids: Collection[str]) -> Mask:
    chosen = np.zeros(len(index.alive), dtype=np.bool_)
    chosen[[index.numbers[video_id] for video_id in video_ids if video_id in index.numbers]] = True
    return chosen


def _within(numbers: Numbers, at_least: float | None, below: float | None) -> Mask:
    """(V,): which numbers are in the range; NaN is in none."""
    met: Mask = ~np.isnan(numbers)
    if at_least is not None:
        met &= numbers >= at_least
    if below is not None:
        met &= numbers < below
    return met
