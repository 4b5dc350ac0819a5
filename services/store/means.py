"""Mean vectors, normalized: what scenes and videos as wholes are compared by."""

import numpy as np

from services.common import vectors
from services.common.media import Matrix, Vector
from services.store.index import Index
from services.store.rows import Rows
from services.store.scenes import Int64

SAMPLES_AT_ONCE = 16_384
"""In memory at full precision: 32 MB of 512 components."""


def of_scenes(rows: Rows, scenes: Int64) -> Matrix:
    """(C, D): the normalized mean of each scene's samples, in the order of the scenes given."""
    order = np.argsort(scenes)
    samples, bounds = rows.samples(scenes[order])
    means: Matrix = np.empty((len(scenes), rows.vectors.dimension), dtype=np.float32)
    if len(scenes):
        means[order] = np.add.reduceat(rows.vectors.unit(samples), bounds[:-1], axis=0)
    return vectors.normalize(means)


def of_videos(index: Index, numbers: Int64) -> Matrix:
    """(n, D): likewise of all samples of each video. They are kept: a video may have a hundred thousand samples."""
    means: Matrix = np.empty((len(numbers), index.rows.vectors.dimension), dtype=np.float32)
    kept = index.rows.video_means
    for place, number in enumerate(numbers.tolist()):
        if number not in kept:
            kept[number] = _of_video(index, number)
        means[place] = kept[number]
    return means


def _of_video(index: Index, number: int) -> Vector:
    first, stop = index.rows.bounds[index.bounds[number : number + 2]].tolist()
    total = np.zeros(index.rows.vectors.dimension)
    for start in range(first, stop, SAMPLES_AT_ONCE):
        total += index.rows.vectors_of(start, min(start + SAMPLES_AT_ONCE, stop)).sum(axis=0, dtype=np.float64)
    return vectors.normalize(total)
