"""Every sampled vector in memory, with its columns beside it."""

from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.common.media import Matrix, Vector
from services.store.blocks import Blocks
from services.store.scenes import IndexedVideo, Int64

A = TypeVar("A", bound=NDArray[Any])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """S scenes with N samples; the scenes of a video, and the samples of a scene, are neighbors.

    What a reader sees never changes. Rows grow behind what is seen, so only the newest may be extended.
    """

    vectors: Blocks  # N rows
    offsets_ns: Int64  # (N,)
    bounds: Int64  # (S + 1,): scene s has the samples bounds[s] to bounds[s + 1]
    starts_ns: Int64  # (S,)
    ends_ns: Int64  # (S,)
    videos: Int64  # (S,): number of the scene's video
    video_means: dict[int, Vector] = field(default_factory=dict)
    """By number, of those that were asked for: see means.of_videos."""

    @classmethod
    def empty(cls, dimension: int, scene_count: int = 0, sample_count: int = 0) -> Self:
        """No rows, with room for so many."""
        bounds = np.zeros(scene_count + 1, dtype=np.int64)
        offsets_ns = np.empty(sample_count, dtype=np.int64)[:0]
        starts_ns, ends_ns, videos = (np.empty(scene_count, dtype=np.int64)[:0] for _ in range(3))
        return cls(Blocks(dimension), offsets_ns, bounds[:1], starts_ns, ends_ns, videos)

    def extended(self, indexed: IndexedVideo, number: int) -> Self:
        """These rows and those of one more video, which gets a number."""
        scenes = indexed.scenes
        return type(self)(
            self.vectors.extended(indexed.embeddings),
            _appended(self.offsets_ns, scenes.offsets_ns),
            _appended(self.bounds, self.bounds[-1] + np.cumsum(scenes.sample_counts)),
            _appended(self.starts_ns, scenes.starts_ns),
            _appended(self.ends_ns, scenes.ends_ns),
            _appended(self.videos, np.full(len(scenes), number)),
            self.video_means,
        )

    def kept(self, alive: NDArray[np.bool_]) -> Self:
        """A copy with only the videos whose number is alive, numbered anew from 0."""
        scenes = alive[self.videos]  # (S,)
        sample_counts = np.diff(self.bounds)
        samples = np.repeat(scenes, sample_counts)  # (N,)
        return type(self)(
            self.vectors.kept(samples),
            self.offsets_ns[samples],
            np.concatenate(([0], np.cumsum(sample_counts[scenes]))),
            self.starts_ns[scenes],
            self.ends_ns[scenes],
            (np.cumsum(alive) - 1)[self.videos[scenes]],
        )

    def vectors_of(self, first: int, stop: int) -> Matrix:
        """(n, D): those of the samples first..stop, of unit length."""
        return self.vectors.unit(np.arange(first, stop))

    def samples(self, scenes: Int64) -> tuple[Int64, Int64]:
        """(n,): the samples of these scenes, one scene after the other; and (C + 1,): where each scene's begin."""
        firsts = self.bounds[scenes]
        counts = self.bounds[scenes + 1] - firsts
        bounds = np.concatenate(([0], np.cumsum(counts)))
        return stretches(firsts, counts), bounds

    def __len__(self) -> int:
        return len(self.offsets_ns)


def stretches(firsts: Int64, counts: Int64) -> Int64:
    """So many whole numbers from each of the firsts on."""
    ends = np.cumsum(counts)
    numbers: Int64 = np.arange(counts.sum()) + np.repeat(firsts - ends + counts, counts)
    return numbers


def _appended(seen: A, more: NDArray[Any]) -> A:
    """`seen` and `more` after it: in the room behind what is seen if that suffices, else in a copy with more room."""
    count, needed = len(seen), len(seen) + len(more)
    room: Any = seen.base
    if room is None or len(room) < needed:
        room = np.empty(max(needed, 2 * count), dtype=seen.dtype)
        room[:count] = seen
    room[count:needed] = more
    grown: A = room[:needed]
    return grown
