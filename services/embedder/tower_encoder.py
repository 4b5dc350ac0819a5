"""Any model of two towers, computed by any back end."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from services.common import vectors
from services.common.media import Matrix, Model
from services.embedder.batches import padded, rounded_up
from services.embedder.encoder import BackEnd, Inputs, Precision, PreparedText
from services.embedder.towers import Towers

log = logging.getLogger(__name__)


class Engine(Protocol):
    """Both towers on one device, by one back end, in one precision."""

    back_end: BackEnd
    device: str
    precision: Precision

    def prepare_image(self, image: Image.Image) -> Inputs:
        """From any thread."""
        ...

    def images(self, items: Sequence[Inputs]) -> NDArray[np.float32]:
        """(B, D), of any length."""
        ...

    def texts(self, batch: Inputs) -> NDArray[np.float32]:
        """Collated texts to (B, D), of any length."""
        ...


class TowerEncoder:
    def __init__(self, towers: Towers, engine: Engine, fingerprint: str) -> None:
        self._engine = engine
        self._tokenize = towers.tokenize
        self._images = Fitting(engine.images)
        self._texts = Fitting(lambda texts: engine.texts(self._tokenize.collate(texts)))
        probe = self.prepare_text("size").inputs
        self._model = Model(
            name=towers.name,
            fingerprint=fingerprint,
            dimension=self.encode_texts([probe]).shape[1],
            image_size=towers.image_size,
            max_text_tokens=towers.tokenize.max_tokens,
            logit_scale=towers.logit_scale,
            device=engine.device,
            precision=engine.precision,
            back_end=engine.back_end,
        )

    @property
    def model(self) -> Model:
        return self._model

    def prepare_image(self, image: Image.Image) -> Inputs:
        return self._engine.prepare_image(image)

    def prepare_text(self, text: str) -> PreparedText:
        return self._tokenize(text)

    def encode_images(self, images: Sequence[Inputs]) -> Matrix:
        return vectors.normalize(self._images(images))

    def encode_texts(self, texts: Sequence[Inputs]) -> Matrix:
        return vectors.normalize(self._texts(texts))


class Fitting:
    """Computes items in batches of full sizes that fit into the device's memory."""

    def __init__(self, compute: Callable[[Sequence[Inputs]], NDArray[np.float32]]) -> None:
        self._compute = compute
        self._limit = 1 << 30
        """Items of a batch; halved for good when memory runs out."""

    def __call__(self, items: Sequence[Inputs]) -> NDArray[np.float32]:
        rows: list[NDArray[Any]] = []
        done = 0
        while done < len(items):
            part = items[done : done + self._limit]
            try:
                rows.append(self._compute(padded(part))[: len(part)])
                done += len(part)
                continue
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
            # Only here, after the `except`, nothing holds what the failed batch had allocated.
            torch.cuda.empty_cache()
            self._limit = rounded_up(len(part)) // 2
            log.warning(
                "a batch of %d does not fit into the device's memory; at most %d from now on", len(part), self._limit
            )
        return np.concatenate(rows)
