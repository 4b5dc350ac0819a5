"""Pages: what one answer may hold of a ranking."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import numpy as np

from services.common.ranking import SceneRanking, floor_of
from services.store.blocks import Scores
from services.store.columns import Mask
from services.store.scenes import Int64

H = TypeVar("H")


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Where a ranking is cut off at its lower end."""

    best: float
    """The score of the ranking's first hit."""
    floor: float
    """The least score that a hit may have."""

    @classmethod
    def of(cls, ranking: SceneRanking, best: float) -> "Cut":
        floors = [-np.inf]
        if ranking.min_score is not None:
            floors.append(ranking.min_score)
        if ranking.relative_cutoff is not None:
            floors.append(floor_of(best, ranking.relative_cutoff))
        return cls(best, max(floors))

    def passes(self, scores: Scores) -> Mask:
        passing: Mask = scores.astype(np.float64) >= self.floor
        return passing


@dataclass(frozen=True, slots=True)
class Page(Generic[H]):
    """What an answer has room for, or the first part of it."""

    hits: tuple[H, ...]
    more: bool
    """Whether others follow."""
    best: float
    """The score of the ranking's first hit."""
    low_score_count: int
    duplicates: tuple[int, ...]
    """How many near-duplicates were left out before each hit, since the page before; and at last how many in all."""

    @property
    def duplicate_count(self) -> int:
        return self.duplicates[len(self.hits) - self.more]

    def giving(self, hits: tuple[H, ...]) -> "Page[H]":
        """With these instead; if they are fewer, as if no more had been wanted."""
        if len(hits) == len(self.hits):
            return replace(self, hits=hits)
        return Page(hits, True, self.best, 0, self.duplicates[: len(hits) + 1])


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The hits that come next in a ranking, best first: one more than are wanted, if there are so many."""

    places: Int64  # (H,): in what the ranking was made of
    scores: Scores  # (H,)
    duplicates: Int64  # (H + 1,): see Page
    wanted: int
    cut: Cut

    @classmethod
    def of(cls, scores: Scores, hits: Mask, duplicates: Mask, wanted: int, cut: Cut) -> Self:
        """From all from the best on: which are hits of this line or later ones, and which are duplicates there."""
        places = np.flatnonzero(hits)[: wanted + 1]
        before = np.cumsum(duplicates)[places]
        in_all = np.count_nonzero(duplicates & cut.passes(scores))
        return cls(places, scores[places], np.append(before, in_all), wanted, cut)

    def page(self, hits_at: Callable[[Int64], tuple[H, ...]]) -> Page[H]:
        """Given the hits at places."""
        passing = int(np.count_nonzero(self.cut.passes(self.scores)))
        given = min(passing, self.wanted)
        low_score_count = min(len(self.scores), self.wanted) - given
        duplicates = (*self.duplicates[:given].tolist(), int(self.duplicates[-1]))
        return Page(hits_at(self.places[:given]), passing > self.wanted, self.cut.best, low_score_count, duplicates)
