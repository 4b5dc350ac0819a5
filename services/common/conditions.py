"""Conditions on videos, as a query's filter has them: meanings as in VideoCondition of media.proto."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class AllOf:
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    condition: "Condition"


@dataclass(frozen=True, slots=True)
class VideoIds:
    video_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class MetadataIn:
    key: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class MetadataPrefix:
    key: str
    prefix: str


@dataclass(frozen=True, slots=True)
class MetadataRange:
    """Half-open, as all ranges here; None means no limit."""

    key: str
    at_least: float | None
    below: float | None


@dataclass(frozen=True, slots=True)
class DurationRange:
    """Of a video's `decoded_ns`."""

    at_least_ns: int | None
    below_ns: int | None


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Of a video's `index_time`."""

    at_least: datetime | None
    below: datetime | None


Condition: TypeAlias = (
    AllOf | AnyOf | Not | VideoIds | MetadataIn | MetadataPrefix | MetadataRange | DurationRange | TimeRange
)
