"""Relevance curves."""

from collections.abc import Iterable, Iterator

from services.common.convert.values import duration_from, duration_to
from services.common.media import TimelinePoint
from videosearch.v1 import media_pb2


def timeline_to(points: Iterable[TimelinePoint]) -> Iterator[media_pb2.TimelinePoint]:
    return (
        media_pb2.TimelinePoint(offset=duration_to(point.offset_ns), ordinal=point.ordinal, score=point.score)
        for point in points
    )


def timeline_from(points: Iterable[media_pb2.TimelinePoint]) -> tuple[TimelinePoint, ...]:
    return tuple(TimelinePoint(duration_from(point.offset, "offset"), point.ordinal, point.score) for point in points)
