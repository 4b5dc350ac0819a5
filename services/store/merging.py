"""Scenes that touch become one hit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from services.common.ranking import floor_of
from services.store.columns import Mask
from services.store.rows import Rows
from services.store.scenes import Int64
from services.store.scoring import Scored

NONE: Int64 = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """H hits: places of scenes among the scored ones, with how many right before and after each belong to it."""

    places: Int64  # (H,)
    befores: Int64  # (H,)
    afters: Int64  # (H,)

    @classmethod
    def single(cls, places: Int64) -> Self:
        """Each scene by itself."""
        return cls(places, np.zeros_like(places), np.zeros_like(places))

    @classmethod
    def joined(cls, parts: Sequence["Spans"]) -> Self:
        """One after the other."""
        columns = ([part.places for part in parts], [part.befores for part in parts], [part.afters for part in parts])
        return cls(*(np.concatenate([NONE, *column]) for column in columns))

    def at(self, chosen: Int64) -> Self:
        return type(self)(self.places[chosen], self.befores[chosen], self.afters[chosen])

    def moved(self, by: int) -> Self:
        """The same among scored ones that begin so much earlier."""
        return replace(self, places=self.places + by)


def merged(rows: Rows, found: Scored, order: Int64, ratio: float, floor: float) -> Spans:
    """Each scene grows into its neighbors that are not yet taken, and that score at least this share of it.

    `order` has places, best first; the neighbors may be others, but none below the floor.
    """
    scores, touching = found.scores.tolist(), _touching(rows, found).tolist()
    taken, spans = [False] * len(scores), list[tuple[int, int, int]]()
    for seed in order.tolist():
        if taken[seed]:
            continue
        least, first, last = max(floor_of(scores[seed], ratio), floor), seed, seed
        while touching[first] and not taken[first - 1] and scores[first - 1] >= least:
            first -= 1
        while touching[last + 1] and not taken[last + 1] and scores[last + 1] >= least:
            last += 1
        taken[first : last + 1] = [True] * (last + 1 - first)
        spans.append((seed, seed - first, last - seed))
    return Spans(*np.array(spans, dtype=np.int64).reshape(-1, 3).T)


def _touching(rows: Rows, found: Scored) -> Mask:
    """(C + 1,): whether the scene before begins in the same video, and ends where this one begins."""
    scenes = found.scenes
    before, here = scenes[:-1], scenes[1:]
    touching = np.zeros(len(scenes) + 1, dtype=np.bool_)
    touching[1:-1] = (
        (here - before == 1)
        & (rows.videos[before] == rows.videos[here])
        & (rows.ends_ns[before] == rows.starts_ns[here])
    )
    return touching
