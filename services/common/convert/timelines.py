"""Relevance curves."""

from collections.abc import Iterable

from services.common.convert.values import duration_from, duration_to
from services.common.media import TimelinePoint
from videosearch.v1 import store_pb2


def timeline_to(points: Iterable[TimelinePoint]) -> store_pb2.ScoreTimelineResponse:
    return store_pb2.ScoreTimelineResponse(
        points=(
            store_pb2.TimelinePoint(offset=duration_to(point.offset_ns), ordinal=point.ordinal, score=point.score)
            for point in points
        )
    )


def timeline_from(response: store_pb2.ScoreTimelineResponse) -> tuple[TimelinePoint, ...]:
    return tuple(
        TimelinePoint(duration_from(point.offset, "offset"), point.ordinal, point.score) for point in response.points
    )
