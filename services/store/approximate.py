"""An approximate index of vectors: FAISS's inverted lists of short codes, scanned in registers.

A vector is kept as the nearest of `list_count` centers and 128 codes of 4 bits that say how it differs from that center
(product quantization: https://doi.org/10.1109/TPAMI.2010.57, its fast scan: https://arxiv.org/abs/1704.07355). Scores
are estimates: whoever asks scores the found ones exactly. What was measured: docs/benchmarks.md, "search".
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from services.common.media import Matrix, Vector
from services.store.blocks import Scores
from services.store.scenes import Int64

MAX_LISTS = 4096
MIN_LISTS = 64
TRAINING_ROWS_PER_LIST = 32
TRAINING_ROUNDS = 8
CODE_TRAINING_ROWS = 20_000
PROBED = 128
"""Lists that a query scans, if nothing else is said and there are twice as many."""

MAX_PARTS = 128
"""Each of the same number of components: 4 of 512."""

THREADS = max(1, len(os.sched_getaffinity(0)) // 2)
"""That train and add. Searches have the other cores, and OpenMP's threads would spin on theirs between loops."""


class Approximate:
    """Ids may repeat: a scene has one for all of its samples. One thread may add while others search."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._lock = _SharedLock()

    @classmethod
    def trained(cls, matrix: Matrix, row_count: int, check: Callable[[], None]) -> Self:
        """An empty one for vectors like those of the matrix (n, D), and for about so many of them.

        It calls `check` now and then, which may raise to end the work.
        """
        faiss.omp_set_num_threads(THREADS)
        dimension = matrix.shape[1]
        quantizer = faiss.IndexFlatIP(dimension)
        quantizer.add(_centers(matrix, list_count(row_count), check))
        index = _empty(quantizer)
        index.pq.cp.niter = TRAINING_ROUNDS
        index.pq.cp.min_points_per_centroid = 1  # no warning
        index.train(matrix[:CODE_TRAINING_ROWS])
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote, whatever follows it in the file; RuntimeError if it is of no use."""
        return cls(faiss.read_index(str(path)))

    def write(self, path: Path) -> None:
        """RuntimeError if that fails."""
        faiss.write_index(self._index, str(path))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def list_count(self) -> int:
        return int(self._index.nlist)

    @property
    def dimension(self) -> int:
        return int(self._index.d)

    def add(self, matrix: Matrix, ids: Int64) -> None:
        """Vectors (n, D), each under an id. Searches wait meanwhile: 0.1 ms a vector of 512 with 4096 lists.

        Finding the lists first, or adding to an empty index and merging that, would keep them waiting less. In FAISS
        1.15.1 both ways (`add_core` and `merge_from` of a fast-scan index) write beyond the ends of its lists.
        """
        faiss.omp_set_num_threads(THREADS)
        with self._lock.alone():
            self._index.add_with_ids(matrix, ids)

    def nearest(
        self, query: Vector, count: int, breadth: float = 1.0, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[Int64, Scores]:
        """Ids and estimated scores of the vectors with the highest ones, best first; allowed[id] says which may be.

        So many times more lists than usual are scanned, and the more the fewer are allowed: they lie farther apart.
        """
        faiss.omp_set_num_threads(1)  # of this thread; other queries have the other cores
        probes, selector = min(PROBED, self.list_count / 2) * breadth, None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            probes /= max(allowed.mean(), 1e-6) ** 0.5
        parameters = faiss.IVFSearchParameters(nprobe=min(round(probes), self.list_count), sel=selector)  # type: ignore[call-arg]  # FAISS adds them
        with self._lock.shared():
            scores, ids = self._index.search(query[None], count, params=parameters)
        found = ids[0] >= 0
        return ids[0][found], scores[0][found]


def list_count(row_count: int) -> int:
    """About four times the square root, as FAISS advises, as a power of two."""
    return int(np.clip(2 ** round(np.log2(4 * max(row_count, 1) ** 0.5)), MIN_LISTS, MAX_LISTS))


def training_rows(row_count: int) -> int:
    """How many vectors to train with."""
    return min(row_count, max(TRAINING_ROWS_PER_LIST * list_count(row_count), CODE_TRAINING_ROWS))


def _centers(matrix: Matrix, count: int, check: Callable[[], None]) -> Matrix:
    """(count, D), by spherical k-means, one round at a time."""
    centers = matrix[:: max(1, len(matrix) // count)][:count]
    for _ in range(TRAINING_ROUNDS):
        check()
        clustering = faiss.Kmeans(
            matrix.shape[1], count, niter=1, spherical=True, min_points_per_centroid=1, max_points_per_centroid=1 << 30
        )
        clustering.train(matrix, init_centroids=centers)
        centers = np.asarray(clustering.centroids)
    return centers


def _empty(quantizer: Any) -> Any:
    dimension = quantizer.d
    parts = next(count for count in range(min(dimension, MAX_PARTS), 0, -1) if dimension % count == 0)
    index = faiss.IndexIVFPQFastScan(quantizer, dimension, quantizer.ntotal, parts, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = True  # more exact at the same speed
    return index


class _SharedLock:
    """Many may search at once; adding waits until none does, and keeps new searches waiting."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._closed = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._changed.wait_for(lambda: not self._readers)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
