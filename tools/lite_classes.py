"""`python -m tools.lite_classes`: writes the class table of the bundled model anew, should names or templates change.

The table is part of the model, because MiniLM takes seconds to compute it, a minute on a busy machine.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.common import vectors
from services.common.media import Matrix
from services.embedder.device import placement
from services.embedder.lite import CLASSES
from services.embedder.minilm import MiniLM

NAMES = Path(__file__).parent / "imagenet_classes.txt"

TEMPLATES = ("a photo of a {}", "a {}", "{}")
"""A class is the mean of these, so that it lies among captions as well as among words."""


def class_names() -> list[str]:
    return [line for line in NAMES.read_text("utf-8").splitlines() if not line.startswith("#")]


def compute_classes(encoder: MiniLM, names: Sequence[str]) -> Matrix:
    """A unit vector for each name: (N, 384)."""
    triples = [[template.format(name) for template in TEMPLATES] for name in names]
    return vectors.normalize([encoder.encode(triple).matrix.mean(axis=0) for triple in triples])


if __name__ == "__main__":
    np.save(CLASSES, compute_classes(MiniLM(placement("cpu", "float32")), class_names()).astype(np.float16))
