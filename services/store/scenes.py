"""A video's scenes as columns: a few arrays instead of an object for each scene."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.common.media import NO_VECTOR, Sample, Scene, Segment, Video

Int64: TypeAlias = NDArray[np.int64]
Halves: TypeAlias = NDArray[np.float16]

Images: TypeAlias = tuple[bytes, ...]
"""Of one scene: a JPEG for each sample, empty for those without one."""


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
        """The scenes first <= ordinal < stop; their samples have neither vectors nor images."""
        ends = np.cumsum(self.sample_counts)  # (S,)
        samples = [
            tuple(Sample(offset_ns, NO_VECTOR) for offset_ns in self.offsets_ns[end - count : end].tolist())
            for count, end in zip(self.sample_counts[first:stop], ends[first:stop], strict=True)
        ]
        spans = map(Segment, self.starts_ns[first:stop].tolist(), self.ends_ns[first:stop].tolist())
        return tuple(map(Scene, range(first, stop), spans, samples))


def with_images(scene: Scene, images: Images) -> Scene:
    """The scene with an image for each of its samples; ValueError if they are not as many."""
    pairs = zip(scene.samples, images, strict=True)
    return replace(scene, samples=tuple(replace(sample, image=image) for sample, image in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class IndexedVideo:
    """All that the three indexes hold of one video."""

    video: Video
    scenes: SceneTable
    embeddings: Halves  # (N, D)
    images: Mapping[int, Images] = field(default_factory=dict)
    """By ordinal, of the scenes that have some. Those of a video that is stored already stay on disk."""
