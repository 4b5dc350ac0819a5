"""A request, and what of the store it is about."""

from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.common import call
from services.common.media import Matrix, Segment, Vector
from services.common.ranking import SceneRanking, VideoRanking
from services.common.stages import stage
from services.store import means
from services.store.blocks import Packed
from services.store.columns import Mask
from services.store.cursors import Cursor
from services.store.filters import selected
from services.store.index import Index
from services.store.parts import Named
from services.store.scenes import Int64
from services.store.scoring import Scored, scored

R_co = TypeVar("R_co", bound=SceneRanking, covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The scenes that may be found: those of some videos, less those outside of a window and those that are named."""

    videos: NDArray[np.bool_]  # (V,)
    window: Segment | None
    named: Int64

    @classmethod
    def of(cls, index: Index, ranking: SceneRanking, after: Cursor | None, named: Named) -> "Chosen":
        videos = selected(index, ranking.video_filter, after.newest if after else None)
        videos[named.videos] = False
        return cls(videos, ranking.time_window, named.scenes)

    def sample_count(self, index: Index) -> int:
        """Without regard to the window and what is named."""
        return int(index.sample_counts[self.videos].sum())

    def left_out_count(self, index: Index) -> int:
        """How many scenes of these videos may not be found."""
        if not self.window:
            return int(np.count_nonzero(self.videos[index.rows.videos[self.named]]))
        scenes = index.scenes(np.flatnonzero(self.videos))
        return len(scenes) - int(np.count_nonzero(self.holds(index, scenes)))

    def scenes(self, index: Index, among: Mask | None = None) -> Int64:
        """In ascending order; only of the videos `among`, (V,), if given."""
        videos = np.flatnonzero(self.videos if among is None else self.videos & among)
        scenes = index.scenes(videos)
        return scenes[self.holds(index, scenes)] if self.window or self.named.size else scenes

    def holds(self, index: Index, scenes: Int64) -> Mask:
        held = self.videos[index.rows.videos[scenes]]
        if self.named.size:
            held &= ~np.isin(scenes, self.named)
        if self.window:
            held &= index.rows.starts_ns[scenes] < self.window.end_ns
            held &= index.rows.ends_ns[scenes] > self.window.start_ns
        return held


@dataclass(frozen=True, eq=False)
class Asked(Generic[R_co]):
    """What a ranking follows from."""

    index: Index
    query: Vector  # (D,): see queries.resolve
    ranking: R_co
    after: Cursor | None
    named: Named
    chosen: Chosen

    @classmethod
    def of(cls, index: Index, query: Vector, ranking: R_co, after: Cursor | None, named: Named) -> "Asked[R_co]":  # type: ignore[misc]  # it makes one, and changes none
        return cls(index, query, ranking, after, named, Chosen.of(index, ranking, after, named))

    @cached_property
    def packed(self) -> Packed:
        return Packed(self.query)

    @cached_property
    def known(self) -> Matrix:
        """(K, D): mean vectors of what the query names, which no hit may be a near-duplicate of."""
        if isinstance(self.ranking, VideoRanking):
            return means.of_videos(self.index, self.named.videos)
        return means.of_scenes(self.index.rows, self.named.scenes)

    def scored(self, scenes: Int64) -> Scored:
        call.check()
        with stage("score"):
            return scored(self.index.rows, self.packed, scenes, self.ranking)

    def scored_in_full(self, numbers: Int64) -> Scored:
        """All chosen scenes of these videos."""
        among = np.zeros_like(self.index.alive)
        among[numbers] = True
        return self.scored(self.chosen.scenes(self.index, among))
