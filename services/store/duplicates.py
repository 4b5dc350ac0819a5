"""Near-duplicates: hits that are too similar to better ones, or to what the query names.

Mean vectors are compared in blocks, by matrix products: an archive may hold 100,000 copies of one scene.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

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


def distinct_scenes(asked: Asked[SceneRanking], scenes: Int64, similarity: float) -> Mask:
    """(C,): of scenes, best first, which are like no better one that is, nor like one that the query names."""
    kept = _Kept(similarity, asked.known)
    return kept.sifted(scenes, partial(means.of_scenes, asked.index.rows), [""] * len(scenes))


def distinct_videos(asked: Asked[SceneRanking], numbers: Int64, similarity: float) -> Mask:
    """(n,): likewise of videos; those of equal files are alike too."""
    files = [video.content_sha256 for video in asked.index.videos]
    kept = _Kept(similarity, asked.known, (files[number] for number in asked.named.videos.tolist()))
    return kept.sifted(numbers, partial(means.of_videos, asked.index), [files[number] for number in numbers.tolist()])


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

    def __init__(self, similarity: float, known: Matrix, files: Iterable[str] = ()) -> None:
        self._least = similarity - ROUNDING
        self._blocks = [known]
        self._files = {*files} - {""}

    def sifted(self, things: Int64, means_of: Callable[[Int64], Matrix], files: Sequence[str]) -> Mask:
        """Which are like none before them that is kept; an empty file is like no other."""
        kept = np.zeros(len(things), dtype=np.bool_)
        for start in range(0, len(things), BLOCK):
            block = slice(start, start + BLOCK)
            kept[block] = self._keep(means_of(things[block]), files[block])
        return kept

    def resemble(self, matrix: Matrix) -> Mask:
        """Which rows are like one that is kept."""
        like = np.zeros(len(matrix), dtype=np.bool_)
        for block in self._blocks:
            like |= (matrix @ block.T >= self._least).any(axis=1)  # (n, D) @ (D, K) -> (n, K)
        return like

    def _keep(self, matrix: Matrix, files: Sequence[str]) -> Mask:
        dropped = self.resemble(matrix)
        alike = matrix @ matrix.T >= self._least  # (n, D) @ (D, n) -> (n, n)
        for place, file in enumerate(files):
            dropped[place] |= file in self._files
            if not dropped[place]:
                dropped[place + 1 :] |= alike[place, place + 1 :]
                self._files |= {file} - {""}
        self._blocks.append(matrix[~dropped])
        return ~dropped
