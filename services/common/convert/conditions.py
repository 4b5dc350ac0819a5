"""Filters: which videos are searched."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

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
from services.common.convert.media import MAX_KEY_LENGTH, MAX_VALUE_LENGTH, metadata_from, video_id_from
from services.common.convert.values import duration_from, duration_to, length_from, text_from, time_from, time_to
from services.common.errors import InvalidInputError, within
from services.common.media import VideoFilter
from videosearch.v1 import media_pb2

T = TypeVar("T", float, int, datetime)

MAX_DEPTH, MAX_CONDITIONS = 16, 1000
MAX_VALUES = 1000
"""Ids or values in one list."""


def filter_to(video_filter: VideoFilter) -> media_pb2.VideoFilter:
    return media_pb2.VideoFilter(
        video_ids=sorted(video_filter.video_ids),
        metadata=video_filter.metadata,
        condition=condition_to(video_filter.condition) if video_filter.condition else None,
    )


def filter_from(video_filter: media_pb2.VideoFilter) -> VideoFilter:
    with within("filter"):
        metadata = metadata_from(video_filter.metadata)
    return VideoFilter(
        video_ids=_ids_from(video_filter.video_ids, "filter.video_ids") if video_filter.video_ids else frozenset(),
        metadata=metadata,
        condition=condition_from(video_filter.condition) if video_filter.HasField("condition") else None,
    )


def condition_from(condition: media_pb2.VideoCondition) -> Condition:
    return _condition_from(condition, "filter.condition", 1, itertools.count(1))


def _condition_from(condition: media_pb2.VideoCondition, path: str, depth: int, numbers: Iterator[int]) -> Condition:
    """`depth` is that of this condition; each one takes its number."""
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"filter.condition nests more than {MAX_DEPTH} deep")
    if next(numbers) > MAX_CONDITIONS:
        raise InvalidInputError(f"filter.condition has more than {MAX_CONDITIONS} conditions")
    kind = condition.WhichOneof("kind")
    match kind:
        case None:
            raise InvalidInputError(f"{path} says nothing: set one of all, any, not, video_ids, metadata_in, ...")
        case "all":
            return AllOf(_conditions_from(condition.all, f"{path}.all", depth, numbers))
        case "any":
            return AnyOf(_conditions_from(condition.any, f"{path}.any", depth, numbers))
        case "not":
            return Not(_condition_from(getattr(condition, kind), f"{path}.not", depth + 1, numbers))
        case _:
            return SIMPLE[kind](getattr(condition, kind), f"{path}.{kind}")


def _conditions_from(
    conditions: media_pb2.VideoConditions, path: str, depth: int, numbers: Iterator[int]
) -> tuple[Condition, ...]:
    if not conditions.conditions:
        raise InvalidInputError(f"{path}.conditions is empty: give at least one")
    return tuple(
        _condition_from(condition, f"{path}.conditions[{place}]", depth + 1, numbers)
        for place, condition in enumerate(conditions.conditions)
    )


def _metadata_in_from(condition: media_pb2.MetadataIn, path: str) -> MetadataIn:
    field = f"{path}.values"
    values = frozenset(text_from(value, MAX_VALUE_LENGTH, field) for value in _some(condition.values, field))
    return MetadataIn(_key_from(condition.key, path), values)


def _metadata_prefix_from(condition: media_pb2.MetadataPrefix, path: str) -> MetadataPrefix:
    prefix = text_from(condition.prefix, MAX_VALUE_LENGTH, f"{path}.prefix")
    return MetadataPrefix(_key_from(condition.key, path), prefix)


def _metadata_range_from(condition: media_pb2.MetadataRange, path: str) -> MetadataRange:
    at_least = condition.at_least if condition.HasField("at_least") else None
    below = condition.below if condition.HasField("below") else None
    for limit in (at_least, below):
        if limit is not None and not math.isfinite(limit):
            raise InvalidInputError(f"{path} has the limit {limit}; leave it unset for no limit")
    _check_order(at_least, below, path)
    return MetadataRange(_key_from(condition.key, path), at_least, below)


def _duration_range_from(condition: media_pb2.DurationRange, path: str) -> DurationRange:
    at_least_ns = duration_from(condition.at_least, f"{path}.at_least") if condition.HasField("at_least") else None
    below_ns = duration_from(condition.below, f"{path}.below") if condition.HasField("below") else None
    _check_order(at_least_ns, below_ns, path)
    return DurationRange(at_least_ns, below_ns)


def _time_range_from(condition: media_pb2.TimeRange, path: str) -> TimeRange:
    at_least = time_from(condition.at_least, f"{path}.at_least") if condition.HasField("at_least") else None
    below = time_from(condition.below, f"{path}.below") if condition.HasField("below") else None
    _check_order(at_least, below, path)
    return TimeRange(at_least, below)


SIMPLE: Mapping[str, Callable[[Any, str], Condition]] = {
    "video_ids": lambda condition, path: VideoIds(_ids_from(condition.video_ids, f"{path}.video_ids")),
    "metadata_in": _metadata_in_from,
    "metadata_prefix": _metadata_prefix_from,
    "metadata_range": _metadata_range_from,
    "duration": _duration_range_from,
    "index_time": _time_range_from,
}
"""Of the conditions that hold no others, by their name in VideoCondition: what reads them."""


def _ids_from(video_ids: Sequence[str], field: str) -> frozenset[str]:
    return frozenset(video_id_from(video_id, field) for video_id in _some(video_ids, field))


def _some(values: Sequence[str], field: str) -> Sequence[str]:
    length_from(len(values), 1, MAX_VALUES, field)
    return values


def _key_from(key: str, path: str) -> str:
    if not key:
        raise InvalidInputError(f"{path}.key is empty: name a key of the metadata")
    return text_from(key, MAX_KEY_LENGTH, f"{path}.key")


def _check_order(at_least: T | None, below: T | None, path: str) -> None:
    if at_least is not None and below is not None and at_least >= below:
        raise InvalidInputError(f"{path} has at_least {at_least} and below {below}: below must be the greater")


def condition_to(condition: Condition) -> media_pb2.VideoCondition:
    match condition:
        case AllOf(conditions):
            return media_pb2.VideoCondition(all=_conditions_to(conditions))
        case AnyOf(conditions):
            return media_pb2.VideoCondition(any=_conditions_to(conditions))
        case Not(denied):
            kind: dict[str, Any] = {"not": condition_to(denied)}  # a word that Python keeps to itself
            return media_pb2.VideoCondition(**kind)
        case VideoIds(video_ids):
            return media_pb2.VideoCondition(video_ids=media_pb2.VideoIds(video_ids=sorted(video_ids)))
        case _:
            return _simple_to(condition)


def _simple_to(
    condition: MetadataIn | MetadataPrefix | MetadataRange | DurationRange | TimeRange,
) -> media_pb2.VideoCondition:
    match condition:
        case MetadataIn(key, values):
            message = media_pb2.MetadataIn(key=key, values=sorted(values))
            return media_pb2.VideoCondition(metadata_in=message)
        case MetadataPrefix(key, prefix):
            return media_pb2.VideoCondition(metadata_prefix=media_pb2.MetadataPrefix(key=key, prefix=prefix))
        case MetadataRange(key, at_least, below):
            limits = media_pb2.MetadataRange(key=key, at_least=at_least, below=below)
            return media_pb2.VideoCondition(metadata_range=limits)
        case DurationRange(at_least_ns, below_ns):
            lengths = [None if limit is None else duration_to(limit) for limit in (at_least_ns, below_ns)]
            return media_pb2.VideoCondition(duration=media_pb2.DurationRange(at_least=lengths[0], below=lengths[1]))
        case TimeRange(first, stop):
            times = [None if limit is None else time_to(limit) for limit in (first, stop)]
            return media_pb2.VideoCondition(index_time=media_pb2.TimeRange(at_least=times[0], below=times[1]))


def _conditions_to(conditions: Iterable[Condition]) -> media_pb2.VideoConditions:
    return media_pb2.VideoConditions(conditions=map(condition_to, conditions))
