"""Every sampled vector in memory, at half precision as it is kept, and exact similarities to a query."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, TypeAlias

import numkong
import numpy as np
from numpy.typing import NDArray

from services.common import call, vectors
from services.common.media import Matrix, Vector
from services.store.scenes import Halves, Int64

Scores: TypeAlias = NDArray[np.float32]

BLOCK_ROWS = 1 << 18
"""The system gives a block its memory only as rows are written, and nothing is copied when there are more of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """N rows. Readers keep the rows that they have; rows are added behind them, so only the newest may be extended."""

    dimension: int
    count: int = 0
    halves: tuple[Halves, ...] = ()  # each (BLOCK_ROWS, D)
    scales: tuple[Scores, ...] = ()  # each (BLOCK_ROWS,): 1 / length, because float16 rounds lengths too

    def extended(self, more: Halves) -> Self:
        halves, scales, count, taken = self.halves, self.scales, self.count, 0
        lengths = np.asarray(numkong.norm(np.ascontiguousarray(more), 1))  # (n,)
        inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        while taken < len(more):
            place = count % BLOCK_ROWS
            if count == len(halves) * BLOCK_ROWS:
                halves = (*halves, np.empty((BLOCK_ROWS, self.dimension), dtype=np.float16))
                scales = (*scales, np.empty(BLOCK_ROWS, dtype=np.float32))
            size = min(len(more) - taken, BLOCK_ROWS - place)
            halves[-1][place : place + size] = more[taken : taken + size]
            scales[-1][place : place + size] = inverse[taken : taken + size]
            count, taken = count + size, taken + size
        return type(self)(self.dimension, count, halves, scales)

    @property
    def size_bytes(self) -> int:
        """Of the rows that are there."""
        return self.count * (2 * self.dimension + 4)

    def kept(self, rows: NDArray[np.bool_]) -> Self:
        """A copy of the rows that are marked, (N,)."""
        kept = type(self)(self.dimension)
        for block, halves in enumerate(self.halves):
            first = block * BLOCK_ROWS
            kept = kept.extended(halves[: self.count - first][rows[first : first + BLOCK_ROWS]])
        return kept

    def unit(self, rows: Int64) -> Matrix:
        """(n, D): these rows, in ascending order, scaled to unit length."""
        unit = np.empty((len(rows), self.dimension), dtype=np.float32)
        for block, start, end in self._stretches(rows):
            unit[start:end] = self.halves[block][rows[start:end] - block * BLOCK_ROWS]
        return vectors.normalize(unit)

    def similarities(self, query: "Packed", first: int, stop: int) -> Scores:
        """Products of the query and the rows first..stop at unit length, in [-1, 1]."""
        scores = np.empty(stop - first, dtype=np.float32)
        done = 0
        for block, start, end in _pieces(first, stop):
            call.check()
            part = scores[done : done + end - start]
            np.multiply(query.products(self.halves[block][start:end]), self.scales[block][start:end], out=part)
            done += end - start
        return np.clip(scores, -1, 1, out=scores)

    def similarities_at(self, query: "Packed", rows: Int64) -> Scores:
        """Likewise of these rows, which are in ascending order."""
        scores = np.empty(len(rows), dtype=np.float32)
        for block, start, end in self._stretches(rows):
            places = rows[start:end] - block * BLOCK_ROWS
            rows_of_block = self.halves[block].take(places, axis=0)  # indexing would take half as long again
            products = query.products(rows_of_block)
            np.multiply(products, self.scales[block][places], out=scores[start:end])
        return np.clip(scores, -1, 1, out=scores)

    def _stretches(self, rows: Int64) -> Iterator[tuple[int, int, int]]:
        """Ascending rows block by block: rows[start:end] are in the block."""
        edges = np.searchsorted(rows, np.arange(len(self.halves) + 1) * BLOCK_ROWS).tolist()
        for block, (start, end) in enumerate(pairwise(edges)):
            if start < end:
                call.check()
                yield block, start, end


class Packed:
    """A query, ready to be multiplied with rows of half precision.

    As the sum of two vectors of half precision it is exact to 1e-7. Each row is multiplied alone: a row's product does
    not depend on where it is, so that equal frames tie and a restart changes no score. `matrix @ query` does not keep
    to that. NumPy needs 2.5 microseconds to widen a row of 512, this takes 0.1.
    """

    def __init__(self, vector: Vector) -> None:
        high = vector.astype(np.float16)
        low = (vector - high).astype(np.float16)
        self._parts: Any = numkong.dots_pack(np.stack((high, low)))

    def products(self, rows: Halves) -> Scores:
        parts = np.asarray(numkong.dots_packed(rows, self._parts))  # (n, D) @ (D, 2) -> (n, 2)
        total: Scores = parts[:, 0] + parts[:, 1]
        return total


def _pieces(first: int, stop: int) -> list[tuple[int, int, int]]:
    """The rows first..stop as (block, start, end)."""
    pieces = []
    while first < stop:
        block, start = divmod(first, BLOCK_ROWS)
        end = min(start + stop - first, BLOCK_ROWS)
        pieces.append((block, start, end))
        first += end - start
    return pieces
