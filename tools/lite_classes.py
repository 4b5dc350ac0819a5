"""`python -m tools.lite_classes`: writes the class table of the bundled model anew, should names or templates change.

The table is part of the model, because MiniLM takes seconds to compute it, a minute on a busy machine.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.common import vectors
from services.common.media import Matrix
from services.embedder.heads import WIDTH
from services.embedder.lite import CLASSES
from services.embedder.minilm import MiniLM

NAMES = Path(__file__).parent / "imagenet_classes.txt"

TEMPLATES = ("a photo of a {}", "a {}", "{}")
"""A class is the mean of these, so that it lies among captions as well as among words."""


def class_names() -> list[str]:
    return [line for line in NAMES.read_text("utf-8").splitlines() if not line.startswith("#")]


def compute_classes(names: Sequence[str]) -> Matrix:
    """A unit vector for each name: (N, 384)."""
    read = text_tower()
    triples = [read([template.format(name) for template in TEMPLATES])[:, :WIDTH] for name in names]
    return vectors.normalize(torch.stack(triples).mean(dim=1).numpy())


def text_tower() -> Callable[[Sequence[str]], Tensor]:
    minilm = MiniLM().eval()

    @torch.inference_mode()
    def read(texts: Sequence[str]) -> Tensor:
        batch = minilm.tokenize.collate([minilm.tokenize(text).inputs for text in texts])
        levels: Tensor = minilm(**{name: torch.from_numpy(array) for name, array in batch.items()})
        return levels

    return read


if __name__ == "__main__":
    np.save(CLASSES, compute_classes(class_names()).astype(np.float16))
