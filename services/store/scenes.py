"""A video's scenes as columns: a few arrays instead of an object for each scene."""

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.common.media import Video

Int64: TypeAlias = NDArray[np.int64]
Halves: TypeAlias = NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class SceneTable:
    """S scenes in order of time, with N samples altogether."""

    starts_ns: Int64  # (S,)
    ends_ns: Int64  # (S,)
    sample_counts: Int64  # (S,), each at least 1
    offsets_ns: Int64  # (N,), scene after scene

    def __len__(self) -> int:
        return len(self.starts_ns)

    def part(self, first: int, stop: int) -> Self:
        """The scenes first <= ordinal < stop."""
        bounds = np.concatenate(([0], np.cumsum(self.sample_counts)))  # (S + 1,)
        scenes = slice(first, stop)
        samples = slice(bounds[min(first, len(self))], bounds[min(stop, len(self))])
        return type(self)(
            self.starts_ns[scenes], self.ends_ns[scenes], self.sample_counts[scenes], self.offsets_ns[samples]
        )


@dataclass(frozen=True, slots=True, eq=False)
class IndexedVideo:
    """All that the three indexes hold of one video."""

    video: Video
    scenes: SceneTable
    embeddings: Halves  # (N, D)
