"""Relevance curves, made to fit what they are drawn on."""

from collections.abc import Sequence

import numpy as np

from cli.output import timecode
from services.common.media import NANOSECONDS, TimelinePoint

MILLISECOND = NANOSECONDS // 1000
HOUR = 3600 * NANOSECONDS

STEPS_NS = (
    *(milliseconds * MILLISECOND for milliseconds in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(seconds * NANOSECONDS for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * 60 * NANOSECONDS for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12, 24)),
)
"""From tick to tick of a time axis."""


class Curve:
    """Straight from one point to the next, and level before the first and after the last."""

    def __init__(self, points: Sequence[TimelinePoint], length_ns: int) -> None:
        """Of at least one point; the time axis ends with the video, or where a point lies after that."""
        self.points = points
        self.end_ns = max(length_ns, points[-1].offset_ns, 1)
        self.low = min(point.score for point in points)
        self.high = max(point.score for point in points)
        self._offsets = [point.offset_ns for point in points]
        self._scores = [point.score for point in points]

    def x(self, offset_ns: int) -> float:
        """A moment's place on the time axis, 0 to 1."""
        return min(offset_ns / self.end_ns, 1.0)

    def y(self, score: float) -> float:
        """A score's height between the curve's least and greatest, 0 to 1; of a level curve, the middle."""
        return (score - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def score_at(self, offset_ns: float) -> float:
        return float(np.interp(offset_ns, self._offsets, self._scores))

    def greatest(self, columns: int) -> dict[int, TimelinePoint]:
        """The best point of each of so many equal columns of the time axis; columns without points are left out."""
        best: dict[int, TimelinePoint] = {}
        for point in self.points:
            column = self.column(point.offset_ns, columns)
            if column not in best or point.score > best[column].score:
                best[column] = point
        return best

    def column(self, offset_ns: int, columns: int) -> int:
        return min(offset_ns * columns // self.end_ns, columns - 1)

    def ticks(self, most: int) -> list[tuple[int, str]]:
        """Round times with what is said of them: 0, and at most so many after it."""
        step = next((step for step in STEPS_NS if self.end_ns <= step * most), self.end_ns)
        first = 3 if self.end_ns < HOUR else 0  # without hours where there are none
        last = -4 if step % NANOSECONDS == 0 else None  # nor milliseconds
        return [(tick, timecode(tick)[first:last]) for tick in range(0, self.end_ns + 1, step)]
