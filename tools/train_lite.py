"""`python -m tools.train_lite PHOTOGRAPHS`: trains the heads of `lite` and writes them; docs/lite.md has the figures.

PHOTOGRAPHS is a folder as `tools.photographs` reads it. What the frozen towers make of it is computed first, in
minutes, and kept in the cache. Each head is then trained from a seed of its own, in a process of its own.
With `--validate` the validation part is not trained on but judged by, and nothing is written: to choose settings.
"""

import argparse
import itertools
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from bench.retrieval import figures
from services.common.media import Matrix
from services.embedder.heads import WIDTH, Conse, Heads, ImageHead, TextHead, roots
from services.embedder.lite import HEADS, load_classes, load_classifier
from tools.lite_data import TEMPLATES, VIEWS, LiteData, load_data, write_data
from tools.photographs import read_photographs, split
from tools.samples import ROOT

COUNT, HIDDEN, DIMENSION = 3, 1024, 384
"""Heads, the width of their hidden layer, and the components of the joint vector."""

CONSE_SHARE = 0.2
"""Of the joint vector's square."""

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 20, 512, 1.5e-3, 0.05

SCALE, MAX_SCALE = math.exp(3), 100
"""Of cosines in the loss: learned, from SCALE."""

CLASS_BATCH = 256
CLASS_SHARE = 0.2
"""Of the loss of imagined classes, beside that of captions."""

CLASS_STRENGTH = (4.0, 14.0)
"""How far along its classifier's weights a class is imagined."""

SURE = 0.7
"""Confidence of the classifier in a photograph's class, by which the vocabulary beyond the captions is judged."""

Numbers: TypeAlias = NDArray[np.int64]
"""Of photographs."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.train_lite", description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "lite")
    parser.add_argument("--validate", action="store_true", help="judge settings; write nothing")
    arguments = parser.parse_args()
    photographs = read_photographs(arguments.photographs)
    write_data(arguments.cache, photographs)
    data = load_data(arguments.cache)
    places = {photograph.name: place for place, photograph in enumerate(photographs)}
    held_out, validation, training = (np.array([places[each.name] for each in part]) for part in split(photographs))
    if arguments.validate:
        heads = trained(arguments.cache, training)
        for share, dimension in itertools.product((0.0, 0.1, 0.2, 0.3, 0.4), (256, 384, 512)):
            join(heads, data, training, share, dimension)
            found = (judge(heads, data, validation) for judge in (judged, judged_by_names))
            print(f"ConSE {share}, {dimension} components:", *found)
    else:
        known = np.concatenate([training, validation])
        heads = trained(arguments.cache, known)
        join(heads, data, known, CONSE_SHARE, DIMENSION)
        save_file({name: tensor.half().contiguous() for name, tensor in heads.state_dict().items()}, HEADS)
        print(f"{HEADS.stat().st_size / 1e6:.1f} MB; held-out photographs: {judged(heads, data, held_out)}")


def trained(cache: Path, numbers: Numbers) -> Heads:
    """Heads whose joint is still to be set."""
    heads = Heads(COUNT, HIDDEN, DIMENSION)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as processes:
        pairs = processes.map(partial(train_head, cache, numbers), range(COUNT))
        for number, (image_head, text_head) in enumerate(pairs):
            heads.of_images[number].load_state_dict(image_head)
            heads.of_texts[number].load_state_dict(text_head)
    return heads.eval()


def train_head(cache: Path, numbers: Numbers, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dicts of a pair. In one thread: two heads at once take less time than one in two, and are repeatable."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    data = load_data(cache)
    features = torch.from_numpy(data.features[:, numbers])  # (VIEWS, n, 2024)
    captions = torch.from_numpy(data.captions[numbers])  # (n, 5, 1536)
    image_head, text_head = ImageHead(HIDDEN), TextHead()
    plain = roots(features[0].float())
    image_head.mean, image_head.deviation = nn.Buffer(plain.mean(dim=0)), nn.Buffer(plain.std(dim=0) + 1e-3)
    imagination = Imagination(data, features[0])
    scale = torch.tensor(math.log(SCALE), requires_grad=True)
    groups: list[dict[str, Any]] = [
        {"params": [*image_head.parameters(), *text_head.parameters()]},
        {"params": [scale], "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(numbers) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    for batch in itertools.islice(_batches(len(numbers)), steps):
        seen = features[torch.randint(VIEWS, (BATCH,)), batch].float()
        read = captions[batch, torch.randint(captions.shape[1], (BATCH,))].float()
        factor = scale.exp().clamp(max=MAX_SCALE)
        loss = contrast(factor * image_head(seen) @ text_head(read).T)
        seen, read = imagination.classes()
        loss = loss + CLASS_SHARE * contrast(factor * image_head(seen) @ text_head(read).T)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return image_head.state_dict(), text_head.state_dict()


def _batches(count: int) -> Iterator[Tensor]:
    """Without end; a last part that does not fill a batch is left out, another one in each epoch."""
    while True:
        yield from torch.split(torch.randperm(count)[: count // BATCH * BATCH], BATCH)


def contrast(logits: Tensor) -> Tensor:
    """Each image is to choose its text, and each text its image: CLIP's loss, https://arxiv.org/abs/2103.00020."""
    own = torch.arange(len(logits))
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


class Imagination:
    """Classes of ImageNet as features and words, so that what few captions speak of is not forgotten.

    No photographs of the classes are at hand: some photograph's features are moved along the weights by which the
    classifier tells the class.
    """

    def __init__(self, data: LiteData, features: Tensor) -> None:
        weights = load_classifier().classifier.weight.detach()  # (1000, 1280)
        self._directions = weights / weights.norm(dim=1, keepdim=True) ** 2
        self._words = torch.from_numpy(data.classes)
        self._features = features

    def classes(self) -> tuple[Tensor, Tensor]:
        """Features and texts of distinct classes."""
        chosen = torch.randperm(len(self._directions))[:CLASS_BATCH]
        features = 0.7 * self._features[torch.randint(len(self._features), (CLASS_BATCH,))].float()
        top = self._directions.shape[1]
        strengths = torch.empty(CLASS_BATCH, 1).uniform_(*CLASS_STRENGTH)
        features[:, :top] = (features[:, :top] + strengths * self._directions[chosen]).clamp(0, 6)
        return features, self._words[torch.randint(len(TEMPLATES), (CLASS_BATCH,)), chosen].float()


@torch.inference_mode()
def join(heads: Heads, data: LiteData, numbers: Numbers, conse_share: float, dimension: int) -> None:
    """Set the joint: the shares of heads and ConSE, then the principal components of images and texts, uncentered."""
    images = images_apart(heads, data, numbers)
    texts = texts_apart(heads, torch.from_numpy(data.captions[numbers, 0]))
    head_share = (1 - conse_share) / len(heads.of_images)
    shares = torch.tensor([*[head_share] * len(heads.of_images), conse_share]).repeat_interleave(WIDTH).sqrt()
    moments = sum((part * shares).T @ (part * shares) / len(part) for part in (images, texts))
    _, components = torch.linalg.eigh(moments)  # in ascending order
    heads.joint = nn.Buffer(shares[:, None] * components[:, -dimension:])


@torch.inference_mode()
def judged(heads: Heads, data: LiteData, numbers: Numbers) -> dict[str, float]:
    """Recalls of all captions among the photographs."""
    texts = texts_apart(heads, torch.from_numpy(data.captions[numbers]).flatten(0, 1))
    scores = cosines(heads, texts, images_apart(heads, data, numbers))
    return figures(scores, np.repeat(np.arange(len(numbers)), data.captions.shape[1]))


@torch.inference_mode()
def judged_by_names(heads: Heads, data: LiteData, numbers: Numbers) -> dict[str, float]:
    """Recalls, among all classes, of the one that the classifier is sure to see: mostly what no caption says."""
    logits = load_classifier().classify(torch.from_numpy(data.features[0, numbers]).float())
    confidence, classes = torch.softmax(logits, dim=1).max(dim=1)
    sure = confidence > SURE
    names = texts_apart(heads, torch.from_numpy(data.classes[0]))
    images = images_apart(heads, data, numbers[sure.numpy()])
    return figures(cosines(heads, images, names), classes[sure].numpy())


def cosines(heads: Heads, queries: Tensor, items: Tensor) -> Matrix:
    """Of vectors that are still apart."""
    units = [functional.normalize(vectors @ heads.joint, dim=1) for vectors in (queries, items)]
    scores: Matrix = (units[0] @ units[1].T).numpy()
    return scores


def images_apart(heads: Heads, data: LiteData, numbers: Numbers) -> Tensor:
    features = torch.from_numpy(data.features[0, numbers]).float()
    return heads.images_apart(features, Conse(load_classes()).images(load_classifier().classify(features)))


def texts_apart(heads: Heads, sentences: Tensor) -> Tensor:
    return heads.texts_apart(sentences.float(), Conse(load_classes()).texts(sentences.float()))


if __name__ == "__main__":
    main()
