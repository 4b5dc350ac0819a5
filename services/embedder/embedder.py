"""Takes texts and images of many callers at once to the model, of which there may be several replicas."""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

from services.common import call
from services.common.errors import DeadlineError, InvalidInputError, OverloadedError, UnavailableError
from services.common.media import Matrix, Model
from services.common.metrics import WORK_STOPPED
from services.common.stages import stage
from services.embedder.encoder import Encoder, Inputs
from services.embedder.images import RawImage, picture
from services.embedder.lanes import Call, Lane, Lanes
from services.embedder.metrics import Burden
from services.embedder.replica import Replica
from services.embedder.templates import PLACE, averaged, worded

Given = TypeVar("Given")
Prepared = TypeVar("Prepared")

MOST_DECODERS = 16
"""Threads that decode images. Each may hold a picture of the most pixels."""

PIECE = 8
"""Items that a thread prepares at a stretch, at least: a handover costs as much as to prepare one or two."""


@dataclass(frozen=True, slots=True)
class Limits:
    max_batch: int
    """Images in one forward pass."""
    max_queue: int
    """Texts and images accepted and not yet embedded; what comes on top is refused."""
    max_queue_bytes: int
    """As `max_queue`, of the texts and images as they came."""
    max_image_pixels: int


class TextEmbeddings(NamedTuple):
    matrix: Matrix
    truncated: Sequence[bool]
    """For each text, whether it was longer than the model reads."""


class Embedder:
    """A thread owns each encoder; texts and images are prepared in others. Enter it, then `load` a model."""

    def __init__(self, limits: Limits, templates: Sequence[str] = ()) -> None:
        """With `templates`, each with a `{}`, a text's embedding is that of its mean over them all."""
        self._limits = limits
        self._templates = templates or (PLACE,)
        self._items, self._bytes = 0, 0
        self._loop = asyncio.get_running_loop()
        self._lanes = Lanes(self._loop)
        self._encoder: Encoder | None = None
        # Apart, so that a query's words do not wait behind a thousand files to decode.
        self._tokenizers = ThreadPoolExecutor(1, "tokenize")
        self._decoders = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_DECODERS), "decode")
        self._replicas: list[Replica] = []
        self._working: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._lanes.close(UnavailableError("the embedder is stopping; retry"))
        for preparers in (self._tokenizers, self._decoders):
            await asyncio.to_thread(preparers.shutdown, cancel_futures=True)
        for replica in self._replicas:
            await asyncio.to_thread(replica.close)

    async def load(self, load: Callable[[], Sequence[Encoder]]) -> None:
        """Load a model, and warm and time its replicas, so that no caller waits for what is set up lazily."""
        encoders = await asyncio.to_thread(load)
        self._replicas = [Replica(encoder, self._lanes) for encoder in encoders]
        await asyncio.gather(*(replica.warm(self._limits.max_batch) for replica in self._replicas))
        self._working = [replica.start() for replica in self._replicas]
        self._encoder = encoders[0]

    async def until_lost(self) -> None:
        """Once loaded: wait until a replica stops by itself, and raise the reason; mostly a DeviceLostError."""
        await asyncio.gather(*self._working)

    @property
    def model(self) -> Model:
        return self._ready().model

    def burden(self) -> Burden:
        """From any thread."""
        working = sum(not replica.done() for replica in self._working)
        return Burden(self._lanes.waiting(), self._items, self._limits.max_queue, working)

    async def embed_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """One embedding a text. OverloadedError at once if the queue is full."""
        encoder = self._ready()
        with self._place(len(texts), len(self._templates) * sum(len(text.encode()) for text in texts)):
            sentences = [sentence for text in texts for sentence in worded(text, self._templates)]
            with stage("prepare"):
                prepared = await self._prepared(self._tokenizers, encoder.prepare_text, sentences)
            matrix = await self._rows("texts", [each.inputs for each in prepared])
        count = len(self._templates)
        cut = [each.truncated for each in prepared]
        truncated = [any(cut[first : first + count]) for first in range(0, len(cut), count)]
        return TextEmbeddings(averaged(matrix, count), truncated)

    async def embed_images(self, images: Sequence[bytes | RawImage]) -> Matrix:
        """One row an image; errors as `embed_texts`, and InvalidInputError that names the first bad image."""
        encoder = self._ready()

        def prepare(numbered: tuple[int, bytes | RawImage]) -> Inputs:
            index, image = numbered
            try:
                return encoder.prepare_image(picture(image, self._limits.max_image_pixels))
            except InvalidInputError as error:
                raise InvalidInputError(f"images[{index}]: {error}") from None

        with self._place(len(images), sum(map(_size_bytes, images))):
            with stage("prepare"):
                inputs = await self._prepared(self._decoders, prepare, list(enumerate(images)))
            return await self._rows("images", inputs)

    def _ready(self) -> Encoder:
        if self._encoder is None:
            raise UnavailableError("the model is still being loaded; retry in a few seconds")
        return self._encoder

    @contextlib.contextmanager
    def _place(self, items: int, size_bytes: int) -> Iterator[None]:
        """Room in the queue, or OverloadedError."""
        limits = self._limits
        if self._items + items > limits.max_queue:
            taken = f"{self._items} of {limits.max_queue} places taken and no room for {items} more"
            raise OverloadedError(f"the model's queue has {taken}; retry with backoff")
        if self._bytes + size_bytes > limits.max_queue_bytes:
            taken = f"{self._bytes} of {limits.max_queue_bytes} bytes taken and no room for {size_bytes} more"
            raise OverloadedError(f"the model's queue has {taken}; retry with backoff")
        self._items += items
        self._bytes += size_bytes
        try:
            yield
        except (asyncio.CancelledError, DeadlineError):
            WORK_STOPPED.labels("embed").inc()
            raise
        finally:
            self._items -= items
            self._bytes -= size_bytes

    async def _prepared(
        self, threads: ThreadPoolExecutor, prepare: Callable[[Given], Prepared], items: Sequence[Given]
    ) -> list[Prepared]:
        """Prepare in parallel; of several that fail, the first one's error is raised."""

        def piece(first: int) -> list[Prepared]:
            return [prepare(item) for item in items[first : first + PIECE]]

        jobs = [self._loop.run_in_executor(threads, piece, first) for first in range(0, len(items), PIECE)]
        try:
            return [item for job in jobs for item in await job]
        finally:
            for job in jobs:
                job.cancel()

    async def _rows(self, lane: Lane, items: Sequence[Inputs]) -> Matrix:
        waiting = Call(items, time.monotonic() + call.timeout_s(math.inf))
        with stage("model"):
            self._lanes.put(lane, waiting)
            return await waiting.result


def _size_bytes(image: bytes | RawImage) -> int:
    return len(image if isinstance(image, bytes) else image.rgb)
