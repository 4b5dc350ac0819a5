"""Pictures on their way through the embedder."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from services.common.errors import PreconditionError
from services.common.media import FrameEmbeddings, Matrix, Model
from services.common.retry import patiently
from services.common.stages import stage
from services.indexer.pictures import Picture

BATCH = 16
"""Most pictures a call: where the bundled model's throughput levels off."""

BATCH_BYTES = 8 << 20
"""Enough for BATCH pictures of usual sizes; half of the message limit, which one more picture cannot reach."""

BATCHES_IN_FLIGHT = 2
"""One that the model works on and one that waits for it; more would only fill memory."""

Embedded = Callable[[Matrix], Awaitable[None]]
"""Takes the embeddings of the next pictures, (pictures, D)."""


class Embedder(Protocol):
    async def model(self) -> Model: ...

    async def embed_frames(self, frames: Sequence[Picture]) -> FrameEmbeddings: ...


class Batches:
    """Embeds pictures in batches, several in flight, and hands the embeddings on in the order of the pictures."""

    def __init__(
        self, embedder: Embedder, model: Model, patience_s: float, tasks: asyncio.TaskGroup, embedded: Embedded
    ) -> None:
        self._embedder = embedder
        self._model = model
        self._patience_s = patience_s
        self._tasks = tasks
        self._embedded = embedded
        self._free = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self._waiting: list[Picture] = []
        self._last: asyncio.Task[None] | None = None

    async def add(self, pictures: Sequence[Picture]) -> None:
        """Take pictures on; waits while enough batches are in flight, so that decoding cannot run ahead."""
        for picture in pictures:
            self._waiting.append(picture)
            if len(self._waiting) == BATCH or sum(waiting.nbytes for waiting in self._waiting) >= BATCH_BYTES:
                await self.flush()

    async def flush(self) -> None:
        """Send what is waiting for its batch to fill."""
        batch, self._waiting = self._waiting, []
        if batch:
            await self._free.acquire()
            self._last = self._tasks.create_task(self._run(batch, self._last))

    async def _run(self, batch: list[Picture], before: asyncio.Task[None] | None) -> None:
        try:
            matrix = await self._embed(batch)
            if before:
                await before
            await self._embedded(matrix)
        finally:
            self._free.release()

    async def _embed(self, batch: list[Picture]) -> Matrix:
        with stage("embed"):
            result = await patiently(lambda: self._embedder.embed_frames(batch), self._patience_s)
        if result.model != self._model.fingerprint:
            raise PreconditionError("the embedder changed its model while the video was indexed; index it again")
        return result.matrix
