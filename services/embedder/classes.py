"""ImageNet's classes as sentence embeddings.

They are stored beside this file because MiniLM takes seconds to compute them, a minute on a busy machine, and every
start would wait. `python -m services.embedder.classes` computes them anew, should the names or the templates change.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from services.common import vectors
from services.common.media import Matrix
from services.embedder.device import Placement
from services.embedder.minilm import MiniLM

FOLDER = Path(__file__).parent
NAMES, MATRIX = FOLDER / "imagenet_classes.txt", FOLDER / "imagenet_classes.npy"

TEMPLATES = ("a photo of a {}", "a {}", "{}")
"""A class is the mean of these, so that it lies among captions as well as among words."""


def class_names() -> list[str]:
    return [line for line in NAMES.read_text("utf-8").splitlines() if not line.startswith("#")]


def stored_classes() -> Matrix:
    """A unit vector for each class, in the order of the classifier: (1000, 384)."""
    return vectors.normalize(np.load(MATRIX))


def compute_classes(encoder: MiniLM, names: Sequence[str]) -> Matrix:
    """A unit vector for each name: (N, 384)."""
    triples = [[template.format(name) for template in TEMPLATES] for name in names]
    return vectors.normalize([encoder.encode(triple).matrix.mean(axis=0) for triple in triples])


if __name__ == "__main__":
    cpu = Placement(torch.device("cpu"), torch.float32)
    np.save(MATRIX, compute_classes(MiniLM(cpu), class_names()).astype(np.float16))
