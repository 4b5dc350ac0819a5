"""Takes texts and images of many callers at once to the one model."""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from PIL import Image

from services.common import call
from services.common.errors import DeadlineError, InvalidInputError, OverloadedError, UnavailableError
from services.common.media import Matrix, Model
from services.embedder.encoder import Encoder, Pixels, TextEmbeddings
from services.embedder.images import RawImage, picture

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Limits:
    max_batch: int
    """Texts or images in one forward pass. A longer call takes several; other calls get their turns between."""
    max_queue: int
    """Texts and images accepted and not yet embedded; what comes on top is refused."""
    max_image_pixels: int


class Embedder:
    """One thread owns the model; images are decoded and resized in others. Enter it, then `load` a model."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting = 0
        self._encoder: Encoder | None = None
        self._model_thread = ThreadPoolExecutor(1, "model")
        self._preparers = ThreadPoolExecutor(os.cpu_count(), "prepare")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for executor in (self._preparers, self._model_thread):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)

    async def load(self, load: Callable[[], Encoder]) -> None:
        """Load the model and run it once, so that the first caller does not wait for what is set up lazily."""
        loop = asyncio.get_running_loop()
        encoder = await loop.run_in_executor(self._model_thread, load)
        await loop.run_in_executor(self._model_thread, _warm_up, encoder)
        self._encoder = encoder

    @property
    def model(self) -> Model:
        return self._ready().model

    async def embed_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """One embedding a text. OverloadedError at once if the queue is full."""
        encoder = self._ready()
        with self._place(len(texts)):
            parts = await self._in_turns(encoder.encode_texts, texts)
        truncated = tuple(flag for part in parts for flag in part.truncated)
        return TextEmbeddings(np.concatenate([part.matrix for part in parts]), truncated)

    async def embed_images(self, images: Sequence[bytes | RawImage]) -> Matrix:
        """One row an image; errors as `embed_texts`, and InvalidInputError that names the first bad image."""
        encoder = self._ready()
        with self._place(len(images)):
            pixels = await self._prepared(encoder, images)
            return np.concatenate(await self._in_turns(encoder.encode_images, pixels))

    def _ready(self) -> Encoder:
        if self._encoder is None:
            raise UnavailableError("the model is still being loaded; retry in a few seconds")
        return self._encoder

    @contextlib.contextmanager
    def _place(self, items: int) -> Iterator[None]:
        """Places in the queue, or OverloadedError."""
        if self._waiting + items > self._limits.max_queue:
            raise OverloadedError(
                f"the model's queue has {self._waiting} of {self._limits.max_queue} places taken and no room for "
                f"{items} more; retry with backoff"
            )
        self._waiting += items
        try:
            yield
        finally:
            self._waiting -= items

    async def _prepared(self, encoder: Encoder, images: Sequence[bytes | RawImage]) -> list[Pixels]:
        def prepare(image: bytes | RawImage) -> Pixels:
            return encoder.prepare(picture(image, self._limits.max_image_pixels))

        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(self._preparers, prepare, image) for image in images]
        try:
            return [await _named(future, index) for index, future in enumerate(futures)]
        finally:
            for future in futures:
                future.cancel()

    async def _in_turns(self, encode: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> list[Result]:
        """Encode by batches. A call has one of them in the model thread's line at a time, so calls take turns.

        Cancelling a call takes its batch out of the line; one whose deadline has passed is dropped at its turn.
        """
        deadline = time.monotonic() + call.timeout_s(math.inf)

        def forward(batch: Sequence[Item]) -> Result:
            if time.monotonic() >= deadline:
                raise DeadlineError("the deadline passed while the call waited for the model")
            return encode(batch)

        loop = asyncio.get_running_loop()
        step = self._limits.max_batch
        batches = [items[start : start + step] for start in range(0, len(items), step)]
        return [await loop.run_in_executor(self._model_thread, forward, batch) for batch in batches]


async def _named(future: asyncio.Future[Pixels], index: int) -> Pixels:
    try:
        return await future
    except InvalidInputError as error:
        raise InvalidInputError(f"images[{index}]: {error}") from None


def _warm_up(encoder: Encoder) -> None:
    encoder.encode_texts(["warm"])
    encoder.encode_images([encoder.prepare(Image.new("RGB", (64, 64)))])
