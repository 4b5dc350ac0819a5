"""A video's scenes as columns: a few arrays instead of an object for each scene."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.common.media import NO_VECTOR, Sample, Scene, Segment, Video

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

    def part(self, first: int, stop: int) -> tuple[Scene, ...]:
        """The scenes first <= ordinal < stop; their samples have no vectors."""
        ends = np.cumsum(self.sample_counts)  # (S,)
        samples = [
            tuple(Sample(offset_ns, NO_VECTOR) for offset_ns in self.offsets_ns[end - count : end].tolist())
            for count, end in zip(self.sample_counts[first:stop], ends[first:stop], strict=True)
        ]
        spans = map(Segment, self.starts_ns[first:stop].tolist(), self.ends_ns[first:stop].tolist())
        return tuple(map(Scene, range(first, stop), spans, samples))


@dataclass(frozen=True, slots=True, eq=False)
class IndexedVideo:
    """All that the three indexes hold of one video."""

    video: Video
    scenes: SceneTable
    embeddings: Halves  # (N, D)
