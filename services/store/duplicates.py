"""Near-duplicates: hits that are too similar to better ones, or to what the query names.

Mean vectors are compared in blocks, by matrix products: an archive may hold 100,000 copies of one scene.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.common import call
from services.common.media import Matrix
from services.common.ranking import SceneRanking
from services.store import means
from services.store.asked import Asked
from services.store.columns import Mask
from services.store.scenes import Int64

BLOCK = 512
"""So many are compared at once."""

ROUNDING = 1e-6
"""A cosine may be off by so much: equal scenes have at least 1 - ROUNDING."""


@dataclass(frozen=True, slots=True, eq=False)
class Sifted:
    """Of things, best first: which are hits, and which are like a better hit or like what the query names."""

    hits: Mask
    alike: Mask


def sifted_scenes(asked: Asked[SceneRanking], scenes: Int64, similarity: float) -> Sifted:
    """What is beyond the number that its video may have is neither; nothing is left out for being like that."""
    kept = _Kept(similarity, asked.known, cap=asked.ranking.scenes_per_video)
    videos = asked.index.rows.videos[scenes].tolist()
    return kept.sifted(scenes, partial(means.of_scenes, asked.index.rows), [""] * len(scenes), videos)


def sifted_videos(asked: Asked[SceneRanking], numbers: Int64, similarity: float) -> Sifted:
    """Those of equal files are alike too."""
    files = [video.content_sha256 for video in asked.index.videos]
    kept = _Kept(similarity, asked.known, (files[number] for number in asked.named.videos.tolist()))
    its_files = [files[number] for number in numbers.tolist()]
    return kept.sifted(numbers, partial(means.of_videos, asked.index), its_files, numbers.tolist())


def first_unlike_named(asked: Asked[SceneRanking], scenes: Int64, similarity: float) -> int:
    """The place of the first scene that is like none that the query names; 0 if there is none."""
    named = _Kept(similarity, asked.known)
    for start in range(0, len(scenes), BLOCK):
        unlike = ~named.resemble(means.of_scenes(asked.index.rows, scenes[start : start + BLOCK]))
        if unlike.any():
            return start + int(unlike.argmax())
    return 0


class _Kept:
    """What later ones must not be like."""

    def __init__(self, similarity: float, known: Matrix, files: Iterable[str] = (), cap: int | None = None) -> None:
        self._least = similarity - ROUNDING
        self._blocks = [known]
        self._files = {*files} - {""}
        self._cap = math.inf if cap is None else cap
        self._counts = Counter[int]()

    def sifted(
        self, things: Int64, means_of: Callable[[Int64], Matrix], files: Sequence[str], videos: Sequence[int]
    ) -> Sifted:
        """An empty file is like no other."""
        sifted = Sifted(np.zeros(len(things), dtype=np.bool_), np.zeros(len(things), dtype=np.bool_))
        for start in range(0, len(things), BLOCK):
            call.check()
            block = slice(start, start + BLOCK)
            part = Sifted(sifted.hits[block], sifted.alike[block])
            self._sift(part, means_of(things[block]), files[block], videos[block])
        return sifted

    def resemble(self, matrix: Matrix) -> Mask:
        """Which rows are like one that is kept."""
        like = np.zeros(len(matrix), dtype=np.bool_)
        for block in self._blocks:
            like |= (matrix @ block.T >= self._least).any(axis=1)  # (n, D) @ (D, K) -> (n, K)
        return like

    def _sift(self, part: Sifted, matrix: Matrix, files: Sequence[str], videos: Sequence[int]) -> None:
        part.alike[:] = self.resemble(matrix)
        alike = matrix @ matrix.T >= self._least  # (n, D) @ (D, n) -> (n, n)
        for place, (file, video) in enumerate(zip(files, videos, strict=True)):
            part.alike[place] |= file in self._files
            if not part.alike[place] and self._counts[video] < self._cap:
                part.hits[place] = True
                part.alike[place + 1 :] |= alike[place, place + 1 :]
                self._files |= {file} - {""}
                self._counts[video] += 1
        if part.hits.any():
            self._blocks.append(matrix[part.hits])
