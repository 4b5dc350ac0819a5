"""A text in several sentences, such as "a photo of {}.", whose embeddings are averaged (Radford et al. 2021, 3.1.4)."""

from collections.abc import Sequence

import numpy as np

from services.common import vectors
from services.common.media import Matrix

PLACE = "{}"
"""Where the text goes. Images and the model's fingerprint do not depend on templates: the space stays the same."""


def worded(text: str, templates: Sequence[str]) -> list[str]:
    return [template.replace(PLACE, text) for template in templates]


def averaged(matrix: Matrix, count: int) -> Matrix:
    """Of `count` rows at a time their direction: (N * count, D) to (N, D)."""
    return vectors.normalize(np.reshape(matrix, (-1, count, matrix.shape[1])).mean(axis=1))
