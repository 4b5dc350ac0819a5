"""Scenes worth a place in a ranking, scored exactly: first the likely ones, as the approximate index has them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.common.media import Segment, Vector
from services.common.ranking import SceneRanking
from services.store.accelerated import Accelerated
from services.store.blocks import Packed, Scores
from services.store.cursors import Cursor
from services.store.filters import selected
from services.store.index import Index
from services.store.scenes import Int64
from services.store.scoring import Scored, best, scored

EXACT_SAMPLES, EXACT_OF = 16_384, 64
"""So few samples, or one of so many, are all scored: that takes about as long as the approximate way."""

FOUND, FOUND_OF = 512, 3000
"""Samples that the approximate index is asked for at first: at least so many, one of so many, or 10 a scene wanted."""

MORE, WIDER = 16, 8
"""Where that does not do, so many times more are asked for, of so many times more lists."""

MOST_FOUND = 65_536
"""Where more would be needed, all are scored instead."""

DOUBT = 4.0
"""In units of the root mean square of what estimates are off: so far behind the best the last one found must be, or one
that was not found may be better. Queries near the data leave 5 to 13, queries far off 2 to 4."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What a request is about."""

    videos: NDArray[np.bool_]  # (V,)
    window: Segment | None

    @classmethod
    def of(cls, index: Index, ranking: SceneRanking, after: Cursor | None) -> "Chosen":
        newest = after.newest if after else None
        return cls(selected(index, ranking.video_filter, newest), ranking.time_window)

    def sample_count(self, index: Index) -> int:
        """Without regard to the window."""
        return int(index.sample_counts[self.videos].sum())

    def scenes(self, index: Index, among: NDArray[np.bool_] | None = None) -> Int64:
        """In ascending order; only of the videos `among`, (V,), if given."""
        videos = np.flatnonzero(self.videos if among is None else self.videos & among)
        scenes = index.scenes(videos)
        return scenes[self.holds(index, scenes)] if self.window else scenes

    def holds(self, index: Index, scenes: Int64) -> NDArray[np.bool_]:
        held = self.videos[index.rows.videos[scenes]]
        if self.window:
            held &= index.rows.starts_ns[scenes] < self.window.end_ns
            held &= index.rows.ends_ns[scenes] > self.window.start_ns
        return held


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    scored: Scored
    unseen: float
    """What no other chosen scene is likely to score more than."""
    complete: bool = False
    """Whether there is no other."""

    def suffice(self, scores: Scores, count: int) -> bool:
        """Whether these scores, best first, are as many as asked for and one more, and none of the others is higher."""
        return self.complete or (len(scores) > count and scores[count - 1] >= self.unseen)


def all_of(index: Index, query: Packed, chosen: Chosen, ranking: SceneRanking) -> Candidates:
    return Candidates(scored(index.rows, query, chosen.scenes(index), ranking), -np.inf, complete=True)


def ever_more(index: Index, query: Vector, chosen: Chosen, ranking: SceneRanking) -> Iterator[Candidates]:
    """Ever more of the chosen scenes, and at last all."""
    packed = Packed(query)
    if index.accelerated and chosen.sample_count(index) > max(EXACT_SAMPLES, len(index.rows) // EXACT_OF):
        yield from _likely(index, index.accelerated, query, packed, chosen, ranking)
    yield all_of(index, packed, chosen, ranking)


def _likely(
    index: Index, accelerated: Accelerated, query: Vector, packed: Packed, chosen: Chosen, ranking: SceneRanking
) -> Iterator[Candidates]:
    """What the approximate index finds, and all that it does not have yet."""
    others = chosen.scenes(index, ~accelerated.covered(index.alive))
    allowed = _allowed(index, accelerated, chosen)
    count = max(FOUND, index.contents.sample_count // FOUND_OF, 10 * ranking.top_k)
    breadth = 1.0
    while count <= MOST_FOUND:
        ids, estimates = accelerated.approximate.nearest(query, count, breadth, allowed)
        scenes = accelerated.scenes(ids, index.bounds)
        held = scenes >= 0
        held[held] = chosen.holds(index, scenes[held])
        found, firsts = np.unique(scenes[held], return_index=True)  # the first of a scene is its best
        every = scored(index.rows, packed, np.union1d(found, others) if len(others) else found, ranking)
        if len(ids) < count or not len(found):
            unseen = np.inf  # the scanned lists hold no more, but others may
        elif breadth > 1:
            # A second look was always enough, unless so many are equal that some were not found.
            unseen = np.nextafter(every.scores[np.isin(every.scenes, found)].min(), np.inf)
        else:
            unseen = estimates[-1] + DOUBT * _error(every, found, estimates[held][firsts])
        yield Candidates(every, unseen)
        count, breadth = count * MORE, breadth * WIDER


def _error(every: Scored, scenes: Int64, estimates: Scores) -> float:
    """Root of the mean square of what the estimates of these scenes' best samples are off."""
    exact = best(every.similarities, every.bounds)[np.searchsorted(every.scenes, scenes)]
    return float(np.sqrt(np.mean(np.square(exact - estimates))))


def _allowed(index: Index, accelerated: Accelerated, chosen: Chosen) -> NDArray[np.bool_] | None:
    """By id; None if all that the approximate index has are."""
    if not chosen.window:
        return accelerated.allowed(chosen.videos)
    scenes = accelerated.scenes(np.arange(accelerated.starts[-1]), index.bounds)
    return (scenes >= 0) & chosen.holds(index, scenes)
