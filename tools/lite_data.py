"""What the frozen towers of `lite` make of photographs and texts, computed once: what its heads are trained on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from services.embedder.batches import stacked
from services.embedder.efficientnet import IMAGE_SIZE, MEAN, SCALE
from services.embedder.lite import RESIZE, load_classifier
from services.embedder.pixels import INPUT, Normalize
from tools.lite_classes import class_names, text_tower
from tools.photographs import Photograph

Item = TypeVar("Item")
Tower: TypeAlias = Callable[[Sequence[Item]], Tensor]

BATCH = 32

VIEWS = 4
"""Of a photograph: as it is, mirrored, and two random parts of it."""

LEAST_AREA = 0.5
"""Of a random part, in areas of the picture."""

MOST_ASPECT = 0.29
"""Logarithm of a random part's sides, one to the other: 3 to 4."""

TEMPLATES = ("a photo of {}", "{}", "", "a picture of {} in a scene", "someone is with {}")
"""A class in words: {} is its name with an article, "" the bare name."""


@dataclass(frozen=True, slots=True)
class LiteData:
    features: NDArray[np.float16]  # (VIEWS, N, 2024)
    captions: NDArray[np.float16]  # (N, 5, 1536)
    classes: NDArray[np.float16]  # (TEMPLATES, 1000, 1536)


def load_data(folder: Path) -> LiteData:
    return LiteData(*(np.load(folder / f"{name}.npy") for name in ("features", "captions", "classes")))


def write_data(folder: Path, photographs: Sequence[Photograph]) -> None:
    """What is not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = [caption for photograph in photographs for caption in photograph.captions]
    classes = [in_words(name, template) for template in TEMPLATES for name in class_names()]
    views = (view for number in range(VIEWS) for view in seen(photographs, number))
    _write(folder / "features.npy", views, image_tower, (VIEWS, len(photographs)))
    _write(folder / "captions.npy", captions, text_tower, (len(photographs), -1))
    _write(folder / "classes.npy", classes, text_tower, (len(TEMPLATES), -1))


def seen(photographs: Sequence[Photograph], view: int) -> Iterator[Image.Image]:
    random = np.random.default_rng(100 + view)
    for photograph in photographs:
        picture = photograph.picture()
        if view >= 2:
            picture = _part(picture, random)
        if view == 1 or (view >= 2 and random.random() < 0.5):
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        yield picture


def _part(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    area, aspect = random.uniform(LEAST_AREA, 1), np.exp(random.uniform(-MOST_ASPECT, MOST_ASPECT))
    width = picture.width * min(1, np.sqrt(area * aspect))
    height = picture.height * min(1, np.sqrt(area / aspect))
    left, top = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
    box = (left, top, left + width, top + height)
    return picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, box)


def in_words(name: str, template: str) -> str:
    article = "an" if name[0].lower() in "aeiou" else "a"
    return template.format(f"{article} {name}") or name


def image_tower() -> Tower[Image.Image]:
    classifier, normalize = load_classifier().eval(), Normalize([MEAN] * 3, [SCALE] * 3, scale=1)

    @torch.inference_mode()
    def see(pictures: Sequence[Image.Image]) -> Tensor:
        pixels = stacked([RESIZE(picture) for picture in pictures])[INPUT]
        return classifier.features(normalize(torch.from_numpy(pixels)))

    return see


def _write(path: Path, items: Iterable[Item], tower: Callable[[], Tower[Item]], shape: tuple[int, int]) -> None:
    if path.exists():
        return
    compute, remaining, results = tower(), iter(items), []
    while batch := list(islice(remaining, BATCH)):
        results.append(compute(batch).half())
    np.save(path, torch.cat(results).numpy().reshape(*shape, results[0].shape[1]))
