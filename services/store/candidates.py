"""Scenes worth a place in a ranking, scored exactly: first the likely ones, as the approximate index has them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.common.ranking import SceneRanking
from services.common.stages import stage
from services.store.accelerated import Accelerated
from services.store.asked import Asked, Chosen
from services.store.blocks import Scores
from services.store.index import Index
from services.store.scenes import Int64
from services.store.scoring import Scored, best

EXACT_SAMPLES, EXACT_OF = 16_384, 64
"""So few samples, or one of so many, are all scored: that takes about as long as the approximate way."""

FOUND, SCORED, SCORED_OF = 1024, 512, 3000
"""Samples that the approximate index is asked for at first, and those whose scenes are scored at first: so many, or one
of so many, or 10 a hit wanted if that is more. Of the others those follow that may be better than what these gave."""

MORE, WIDER = 8, 8
"""Where that does not do, so many times more are asked for, of so many times more lists."""

MOST_FOUND = 65_536
"""Where more would be needed, all are scored instead."""

DOUBT = 4.0
"""In units of the root mean square of what estimates are off: so far behind the best the last one found must be, or one
that was not found may be better. Queries near the data leave 5 to 13, queries far off 2 to 4."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    scored: Scored
    unseen: float
    """What no other chosen scene is likely to score more than."""
    complete: bool = False
    """Whether there is no other."""


class Ranked(Protocol):
    @property
    def scores(self) -> Scores:
        """Of hits, best first: one more than are wanted, if there are so many."""

    @property
    def complete(self) -> bool:
        """Whether other scenes would change nothing."""


R = TypeVar("R", bound=Ranked)


def ranked(asked: Asked[SceneRanking], wanted: int, rank: Callable[[Candidates], R]) -> R:
    """What `rank` makes of enough of the chosen scenes for so many hits, at last of all."""
    looks = _ever_more(asked, wanted)
    candidates = next(looks)
    while True:
        ranking = rank(candidates)
        scores = ranking.scores
        if ranking.complete or (len(scores) > wanted and scores[wanted - 1] >= candidates.unseen):
            return ranking
        candidates = looks.send(float(scores[wanted - 1]) if len(scores) >= wanted else -np.inf)


def all_of(asked: Asked[SceneRanking]) -> Candidates:
    return alone(asked.scored(asked.chosen.scenes(asked.index)))


def alone(scored: Scored) -> Candidates:
    """These, where no others count."""
    return Candidates(scored, -np.inf, complete=True)


def _ever_more(asked: Asked[SceneRanking], wanted: int) -> Generator[Candidates, float, None]:
    """Ever more of the chosen scenes, and at last all. It is told what the last hit wanted has scored so far."""
    index = asked.index
    if index.accelerated and asked.chosen.sample_count(index) > max(EXACT_SAMPLES, len(index.rows) // EXACT_OF):
        yield from _likely(index.accelerated, asked, wanted)
    yield all_of(asked)


def _likely(accelerated: Accelerated, asked: Asked[SceneRanking], wanted: int) -> Generator[Candidates, float, None]:
    """What the approximate index finds, and all that it does not have yet."""
    others = asked.chosen.scenes(asked.index, ~accelerated.covered(asked.index.alive))
    allowed = _allowed(accelerated, asked.index, asked.chosen)
    first = max(SCORED, asked.index.contents.sample_count // SCORED_OF, 10 * wanted)
    count = max(FOUND, first)

    found = _Found.of(accelerated, asked, count, 1, allowed)
    scored = _scored(asked, found.scenes[:first], others)
    doubt = DOUBT * _error(scored, found.scenes[:first], found.estimates[:first])
    reached = yield Candidates(scored, found.estimate(first) + doubt)

    scored = _scored(asked, found.scenes[: max(first, found.count(reached - doubt))], others)
    reached = yield Candidates(scored, found.last + doubt)

    if count * MORE <= MOST_FOUND:
        found = _Found.of(accelerated, asked, count * MORE, WIDER, allowed)
        likely = found.scenes[: max(first, found.count(reached - doubt))]
        scored = _scored(asked, likely, others)
        # This look was always enough, unless so many are equal that some were not found.
        least = scored.scores[np.isin(scored.scenes, likely)].min(initial=np.inf)
        yield Candidates(scored, max(np.nextafter(least, np.inf), found.last if np.isinf(found.last) else -np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Samples, of the highest estimates, best first."""

    scenes: Int64  # (n,): theirs; a scene may be there several times
    estimates: Scores  # (n,)
    last: float
    """No sample that was not found is estimated higher."""

    @classmethod
    def of(
        cls,
        accelerated: Accelerated,
        asked: Asked[SceneRanking],
        count: int,
        breadth: float,
        allowed: NDArray[np.bool_] | None,
    ) -> "_Found":
        with stage("approximate"):
            ids, estimates = accelerated.approximate.nearest(asked.query, count, breadth, allowed)
        scenes = accelerated.scenes(ids, asked.index.bounds)
        held = scenes >= 0
        held[held] = asked.chosen.holds(asked.index, scenes[held])
        # If there are fewer, the scanned lists hold no more, but others may.
        last = float(estimates[-1]) if len(ids) == count and held.any() else np.inf
        return cls(scenes[held], estimates[held], last)

    def count(self, least: float) -> int:
        """How many are estimated at least so high."""
        return int(np.count_nonzero(self.estimates >= least))

    def estimate(self, place: int) -> float:
        """That of the best one that is not among so many."""
        return float(self.estimates[place]) if place < len(self.estimates) else self.last


def _scored(asked: Asked[SceneRanking], scenes: Int64, others: Int64) -> Scored:
    return asked.scored(np.union1d(scenes, others) if len(others) else np.unique(scenes))


def _error(scored: Scored, scenes: Int64, estimates: Scores) -> float:
    """Root of the mean square of what the estimates of these scenes' best samples are off."""
    if not len(scenes):
        return np.inf
    found, firsts = np.unique(scenes, return_index=True)  # the first of a scene is its best
    exact = best(scored.similarities, scored.bounds)[np.searchsorted(scored.scenes, found)]
    return float(np.sqrt(np.mean(np.square(exact - estimates[firsts]))))


def _allowed(accelerated: Accelerated, index: Index, chosen: Chosen) -> NDArray[np.bool_] | None:
    """By id; None if all that the approximate index has are. The few scenes that are named are left out later."""
    if not chosen.window:
        return accelerated.allowed(chosen.videos)
    scenes = accelerated.scenes(np.arange(accelerated.starts[-1]), index.bounds)
    return (scenes >= 0) & chosen.holds(index, scenes)
