"""Several inputs as one batch, in one of few sizes: back ends prepare themselves for each shape that they see."""

from collections.abc import Sequence

import numpy as np

from services.embedder.encoder import Inputs


def rounded_up(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()


def padded(items: Sequence[Inputs]) -> Sequence[Inputs]:
    """To the next size of a batch, with copies of the last item."""
    return [*items, *[items[-1]] * (rounded_up(len(items)) - len(items))]


def stacked(items: Sequence[Inputs]) -> Inputs:
    """Inputs of equal shapes as one batch."""
    return {name: np.stack([item[name] for item in items]) for name in items[0]}
