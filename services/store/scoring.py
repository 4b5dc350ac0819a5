"""Exact scores of scenes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.common.media import SceneScoring
from services.common.ranking import SceneRanking
from services.store.blocks import Packed, Scores
from services.store.rows import Rows
from services.store.scenes import Int64

SHORT_RUN = 24
"""Samples that lie together. Below this many on average it is quicker to gather them than to go from run to run."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """C scenes in ascending order, with n samples altogether."""

    scenes: Int64  # (C,)
    scores: Scores  # (C,)
    similarities: Scores  # (n,): of the samples
    bounds: Int64  # (C + 1,): the scene at place p has the similarities bounds[p] to bounds[p + 1]


def scored(rows: Rows, query: Packed, scenes: Int64, ranking: SceneRanking) -> Scored:
    """Score scenes, given in ascending order, by all of their samples."""
    samples, bounds = rows.samples(scenes)
    breaks = np.flatnonzero(np.diff(scenes) != 1) + 1  # where a run of neighbors begins
    if bounds[-1] < SHORT_RUN * (len(breaks) + 1):
        similarities = rows.vectors.similarities_at(query, samples)
    else:
        begins = np.concatenate(([0], breaks, [len(scenes)]))
        firsts, lasts = scenes[begins[:-1]], scenes[begins[1:] - 1]
        runs = zip(rows.bounds[firsts].tolist(), rows.bounds[lasts + 1].tolist(), strict=True)
        similarities = np.concatenate([rows.vectors.similarities(query, first, stop) for first, stop in runs])
    return Scored(scenes, _scene_scores(similarities, bounds, ranking), similarities, bounds)


def best(scores: Scores, bounds: Int64) -> Scores:
    """Of each stretch bounds[p] to bounds[p + 1], none of them empty."""
    highest: Scores = np.maximum.reduceat(scores, bounds[:-1])
    return highest


def mean(scores: Scores, bounds: Int64) -> Scores:
    """Likewise."""
    means: Scores = np.divide(np.add.reduceat(scores, bounds[:-1]), np.diff(bounds), dtype=np.float32)
    return means


def top_mean(scores: Scores, bounds: Int64, count: int) -> Scores:
    """Likewise, of the `count` highest of each stretch, or of all if there are fewer."""
    lengths = np.diff(bounds)
    stretch = np.repeat(np.arange(len(lengths)), lengths)
    descending = scores[np.lexsort((-scores, stretch))]  # the stretches stay where they are
    top = np.arange(len(scores)) - np.repeat(bounds[:-1], lengths) < count
    return mean(descending[top], np.concatenate(([0], np.cumsum(np.minimum(lengths, count)))))


def _scene_scores(similarities: Scores, bounds: Int64, ranking: SceneRanking) -> Scores:
    match ranking.scene_scoring:
        case SceneScoring.BEST:
            return best(similarities, bounds)
        case SceneScoring.MEAN:
            return mean(similarities, bounds)
        case SceneScoring.SOFTMAX:
            return _softmax(similarities, bounds, ranking.softmax_temperature)


def _softmax(similarities: Scores, bounds: Int64, temperature: float) -> Scores:
    """The mean, each weighed by its exponential at that temperature."""
    highest = best(similarities, bounds)
    below: NDArray[np.float64] = (similarities - np.repeat(highest, np.diff(bounds))).astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):  # at a very low temperature only the highest counts
        weights = np.exp(below / temperature)
    sums = (np.add.reduceat(values, bounds[:-1]) for values in (below * weights, weights))
    return (highest + np.divide(*sums)).astype(np.float32)
