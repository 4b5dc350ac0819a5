"""How well an engine's vectors agree with those of torch in float32, and whether the two may be compared."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.common.media import Matrix
from services.embedder.encoder import Encoder

Item = TypeVar("Item")

SHARED_WORST = 0.99
"""The least worst cosine at which the vectors of two engines may stand in one index, under one fingerprint.

Such a vector is off by sqrt(2 (1 - 0.99)) = 0.14 in one of (say) 512 directions, so its cosine to a query by about
0.14 / sqrt(512) = 0.006. What ranks pictures is several times that: CLIP's cosines of one caption to many photographs
scatter by some 0.03. docs/benchmarks.md has what it does to the ten best.
"""

TOP = 10

BATCH = 16

DISKS, SMALLEST = 800, 1 / 56
"""Of a picture: how many, five deep in the mean, and the least radius as a share of the side."""

TEXTS = (
    "a dog",
    "two children play football on a wet lawn while their parents watch",
    "an aerial view of a city at night",
    "Wie spät ist es?",
)


class Fidelity(NamedTuple):
    """Of the cosines between two engines' vectors of the same inputs."""

    mean: float
    worst: float
    top_10: float | None
    """The share of a text's ten best pictures that both agree on; None without texts or with too few pictures."""


def fidelity(encoder: Encoder, reference: Encoder, pictures: Sequence[Image.Image], texts: Sequence[str]) -> Fidelity:
    """RGB pictures of any size."""
    images, words = _embedded(encoder, pictures, texts)
    true_images, true_words = _embedded(reference, pictures, texts)
    cosines = np.concatenate([(images * true_images).sum(axis=1), (words * true_words).sum(axis=1)])
    agreement = None
    if len(texts) and len(pictures) > TOP:
        pairs = zip(_best(images, words), _best(true_images, true_words), strict=True)
        agreement = float(np.mean([len(np.intersect1d(*pair)) / TOP for pair in pairs]))
    return Fidelity(float(cosines.mean()), float(cosines.min()), agreement)


def dead_leaves(count: int, side: int) -> list[Image.Image]:
    """Pictures of (2 * side, 1.5 * side), so that a model for `side` has to resize and crop them.

    Disks over disks, radii by a power law: edges, areas and contrasts at all scales as in photographs.

    Lee, Mumford and Huang, "Occlusion Models for Natural Images", 2001, https://doi.org/10.1023/A:1011109015675.
    """
    rng = np.random.default_rng(0)
    return [_dead_leaves(rng, side) for _ in range(count)]


def _dead_leaves(rng: np.random.Generator, side: int) -> Image.Image:
    width, height = 2 * side, 3 * side // 2
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    ends = (2 * side * np.array([SMALLEST, 1 / 2])) ** -2  # the density of radii falls with the third power
    radii = rng.uniform(ends[1], ends[0], DISKS) ** -0.5
    centers = rng.uniform(0, (width, height), (DISKS, 2))
    colors = rng.integers(0, 256, (DISKS, 3))
    for (x, y), radius, color in zip(centers, radii, colors.tolist(), strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(color))
    return picture


def _embedded(encoder: Encoder, pictures: Sequence[Image.Image], texts: Sequence[str]) -> tuple[Matrix, Matrix]:
    images = [encoder.encode_images([encoder.prepare_image(picture) for picture in part]) for part in _parts(pictures)]
    words = [encoder.encode_texts([encoder.prepare_text(text).inputs for text in part]) for part in _parts(texts)]
    nothing = np.zeros((0, encoder.model.dimension), np.float32)
    return np.concatenate([nothing, *images]), np.concatenate([nothing, *words])


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _best(images: Matrix, words: Matrix) -> NDArray[np.int64]:
    """(texts, TOP): the numbers of each text's best images."""
    return np.argsort(-(words @ images.T), axis=1)[:, :TOP]
