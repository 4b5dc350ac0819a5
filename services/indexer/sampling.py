"""Which frames stand for a scene: a few, evenly in time, away from the cuts."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from services.indexer.pictures import Picture

SAMPLES_PER_SCENE = 3
"""As the method this project grew from."""

MAX_CANDIDATES = 16
"""Pictures kept of a scene whose end is unknown, but for its latest part. With half as many, the least after thinning,
a sample is off its ideal time by 1/16 of the scene at most."""

SPACING_NS = 500_000_000
"""Of candidates: less where scenes may be that short, more where all are long."""


@dataclass(frozen=True, slots=True)
class Candidate:
    offset_ns: int
    picture: Picture


class Sampler:
    """Keeps a bounded number of candidates, evenly in time, however long the scene turns out to be.

    Candidates are the frames shown at whole multiples of a time that no scene is shorter than: so each scene has one.
    They are thinned out only where no other scene can begin. Which frames are chosen depends on none before the scene.
    """

    def __init__(self, min_scene_ns: int) -> None:
        self._grid_ns = min(min_scene_ns // 2, max(SPACING_NS, min_scene_ns // MAX_CANDIDATES))
        self._kept: list[Candidate] = []
        self._spacing_ns = SPACING_NS
        self._fresh: deque[Candidate] = deque()

    def wants(self, offset_ns: int, next_ns: int) -> bool:
        """Whether to offer the frame that is shown from one offset to the other; the film's last one is, always."""
        return not self._grid_ns or (offset_ns - 1) // self._grid_ns < (next_ns - 1) // self._grid_ns

    def offer(self, candidate: Candidate) -> None:
        self._fresh.append(candidate)

    def settle(self, settled_ns: int) -> None:
        """Thin out the candidates before this offset: no other scene will begin there."""
        while self._fresh and self._fresh[0].offset_ns < settled_ns:
            self._keep(self._fresh.popleft())

    def close(self, start_ns: int, end_ns: int) -> tuple[Candidate, ...]:
        """The samples of the scene that ends; candidates behind its end stay for the next one."""
        inside, self._kept, self._spacing_ns = self._kept, [], SPACING_NS
        while self._fresh and self._fresh[0].offset_ns < end_ns:
            inside.append(self._fresh.popleft())
        return choose(inside, start_ns, end_ns)

    def _keep(self, candidate: Candidate) -> None:
        if self._kept and candidate.offset_ns - self._kept[-1].offset_ns < self._spacing_ns:
            return
        self._kept.append(candidate)
        if len(self._kept) > MAX_CANDIDATES:
            self._kept = self._kept[::2]
            self._spacing_ns *= 2


def choose(candidates: list[Candidate], start_ns: int, end_ns: int) -> tuple[Candidate, ...]:
    """The candidates nearest to the middles of equal parts of the scene, each once, in order of time."""
    part = (end_ns - start_ns) / SAMPLES_PER_SCENE
    offsets = np.array([candidate.offset_ns for candidate in candidates], dtype=np.float64)
    targets = start_ns + part * (np.arange(SAMPLES_PER_SCENE) + 0.5)
    nearest = np.abs(offsets[:, None] - targets).argmin(axis=0)  # (candidates, targets) -> (targets,)
    return tuple(candidates[i] for i in np.unique(nearest))
