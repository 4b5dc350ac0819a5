"""Which frames stand for a scene: a few, evenly in time, away from the cuts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""A frame of 8 bits a color, (H, W, 3); RGB at the size that the model asks for, where nothing else is said."""

SAMPLES_PER_SCENE = 3
"""As the method this project grew from."""

MAX_CANDIDATES = 16
"""Pictures kept while a scene's end is unknown. With half as many, the least after thinning, a sample is off its ideal
time by 1/16 of the scene at most."""

FIRST_SPACING_NS = 250_000_000


@dataclass(frozen=True, slots=True)
class Candidate:
    offset_ns: int
    picture: Picture


class Sampler:
    """Keeps a bounded number of candidates, evenly in time, however long the scene turns out to be."""

    def __init__(self) -> None:
        self._candidates: list[Candidate] = []
        self._spacing_ns = FIRST_SPACING_NS

    def wants(self, offset_ns: int) -> bool:
        """Whether the frame at this offset should be offered as a candidate."""
        return not self._candidates or offset_ns - self._candidates[-1].offset_ns >= self._spacing_ns

    def offer(self, candidate: Candidate) -> None:
        self._candidates.append(candidate)
        if len(self._candidates) > MAX_CANDIDATES:
            self._candidates = self._candidates[::2]
            self._spacing_ns *= 2

    def close(self, start_ns: int, end_ns: int) -> tuple[Candidate, ...]:
        """The samples of the scene that ends; candidates behind its end stay for the next one."""
        inside = [candidate for candidate in self._candidates if candidate.offset_ns < end_ns]
        self._candidates = self._candidates[len(inside) :]
        self._spacing_ns = FIRST_SPACING_NS
        return choose(inside, start_ns, end_ns)

    def begin(self, first: Candidate) -> None:
        """Start a scene with its first frame as a candidate, so that the shortest scene has one."""
        if not self._candidates or self._candidates[0].offset_ns > first.offset_ns:
            self._candidates.insert(0, first)


def choose(candidates: list[Candidate], start_ns: int, end_ns: int) -> tuple[Candidate, ...]:
    """The candidates nearest to the middles of equal parts of the scene, each once, in order of time."""
    part = (end_ns - start_ns) / SAMPLES_PER_SCENE
    offsets = np.array([candidate.offset_ns for candidate in candidates], dtype=np.float64)
    targets = start_ns + part * (np.arange(SAMPLES_PER_SCENE) + 0.5)
    nearest = np.abs(offsets[:, None] - targets).argmin(axis=0)  # (candidates, targets) -> (targets,)
    return tuple(candidates[i] for i in np.unique(nearest))
