"""Scenes worth a place in a ranking, scored exactly: first the likely ones, as the approximate index has them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.common.media import Segment, Vector
from services.common.ranking import SceneRanking
from services.store.accelerated import Accelerated
from services.store.blocks import Packed
from services.store.cursors import Cursor
from services.store.filters import selected
from services.store.index import Index
from services.store.scenes import Int64
from services.store.scoring import Scored, scored

EXACT_SAMPLES = 16_384
"""So few are all scored: 1.6 ms at 512 dimensions, about as long as the approximate way takes."""

FOUND = 1024
"""Samples that the approximate index is asked for, or 10 a scene wanted; where that is too few, four times more."""

MOST_FOUND = 65_536
"""Where more would be needed, all are scored instead."""


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
    complete: bool
    """Whether these are all of the chosen scenes."""


def all_of(index: Index, query: Packed, chosen: Chosen, ranking: SceneRanking) -> Candidates:
    return Candidates(scored(index.rows, query, chosen.scenes(index), ranking), complete=True)


def ever_more(index: Index, query: Vector, chosen: Chosen, ranking: SceneRanking) -> Iterator[Candidates]:
    """Ever more of the chosen scenes, and at last all."""
    packed = Packed(query)
    if index.accelerated and chosen.sample_count(index) > EXACT_SAMPLES:
        others = chosen.scenes(index, ~index.accelerated.covered(index.alive))
        for scenes in _likely(index, index.accelerated, query, chosen, ranking.top_k):
            yield Candidates(scored(index.rows, packed, np.union1d(scenes, others), ranking), complete=False)
    yield all_of(index, packed, chosen, ranking)


def _likely(index: Index, accelerated: Accelerated, query: Vector, chosen: Chosen, top_k: int) -> Iterator[Int64]:
    """Scenes that the approximate index finds, ever more of them."""
    allowed = _allowed(index, accelerated, chosen)
    count = max(FOUND, 10 * top_k)
    while count <= MOST_FOUND:
        ids, _ = accelerated.approximate.nearest(query, count, allowed)
        scenes = accelerated.scenes(ids, index.bounds)
        scenes = scenes[scenes >= 0]
        yield scenes[chosen.holds(index, scenes)]
        count *= 4


def _allowed(index: Index, accelerated: Accelerated, chosen: Chosen) -> NDArray[np.bool_] | None:
    """By id; None if all that the approximate index has are."""
    if not chosen.window:
        return accelerated.allowed(chosen.videos)
    scenes = accelerated.scenes(np.arange(accelerated.starts[-1]), index.bounds)
    return (scenes >= 0) & chosen.holds(index, scenes)
