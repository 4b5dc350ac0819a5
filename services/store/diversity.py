"""Maximal marginal relevance (Carbonell and Goldstein 1998, https://doi.org/10.1145/290941.291025)."""

import numpy as np

from services.common import call
from services.common.media import Matrix
from services.store.blocks import Scores
from services.store.scenes import Int64


def pool_size(top_k: int) -> int:
    """From how many of the best so many are picked."""
    return 4 * top_k + 100


def picked(relevance: Scores, means: Matrix, count: int, diversity: float) -> Int64:
    """Places among the n, best first, that are given: the first, then ever the one that is worth most.

    Worth counts relevance, and the less the greater the diversity; and against it the greatest cosine to one picked.
    """
    places = list[int]()
    nearest = np.full(len(relevance), -np.inf, dtype=np.float32)  # (n,)
    worth = relevance.copy()
    while len(places) < min(count, len(relevance)):
        call.check()
        places.append(int(worth.argmax()))
        np.maximum(nearest, means @ means[places[-1]], out=nearest)  # (n, D) @ (D,) -> (n,)
        worth = (1 - diversity) * relevance - diversity * nearest
        worth[places] = -np.inf
    return np.array(places, dtype=np.int64)
