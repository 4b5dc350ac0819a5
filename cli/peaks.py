"""The peaks of a relevance curve: its local maxima, ordered by topographic prominence.

A peak's prominence is how far the curve falls at least on the way from it to any higher point; the highest peak's is
how far it falls at all. That is what scipy.signal's find_peaks and peak_prominences find
(https://docs.scipy.org/doc/scipy/reference/generated/scipy.signal.peak_prominences.html) in a curve that falls to its
least score beyond both ends, so that its first and its last point can be peaks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from services.common.media import TimelinePoint


@dataclass(frozen=True, slots=True)
class Peak:
    offset_ns: int
    ordinal: int
    score: float
    prominence: float


def peaks(points: Sequence[TimelinePoint], count: int) -> tuple[Peak, ...]:
    """The most prominent peaks, at most `count` and one a scene; best score first, then in order of time."""
    prominent: dict[int, Peak] = {}
    for peak in sorted(_peaks(points), key=lambda peak: (-peak.prominence, -peak.score, peak.offset_ns)):
        prominent.setdefault(peak.ordinal, peak)
    return tuple(sorted(islice(prominent.values(), count), key=lambda peak: (-peak.score, peak.offset_ns)))


def _peaks(points: Sequence[TimelinePoint]) -> Iterator[Peak]:
    scores = [point.score for point in points]
    least = min(scores, default=0.0)
    before = _bases(scores, least)
    after = _bases(scores[::-1], least)[::-1]
    for n in _maxima(scores):
        point = points[n]
        yield Peak(point.offset_ns, point.ordinal, point.score, point.score - max(before[n], after[n]))


def _maxima(scores: Sequence[float]) -> Iterator[int]:
    """Where the curve is higher than before and after; of a plateau, its middle."""
    start = 0
    before = float("-inf")
    for score, run in groupby(scores):
        end = start + sum(1 for _ in run)
        after = scores[end] if end < len(scores) else float("-inf")
        if before < score > after:
            yield (start + end - 1) // 2
        start, before = end, score


def _bases(scores: Sequence[float], least: float) -> list[float]:
    """For each point the least score since the last higher one before it; `least` if none is higher."""
    bases = []
    higher: list[tuple[float, float]] = []  # falling scores, each with the least one since the score before it
    for score in scores:
        base = score
        while higher and higher[-1][0] <= score:
            base = min(base, higher.pop()[1])
        bases.append(base if higher else least)
        higher.append((score, base))
    return bases
