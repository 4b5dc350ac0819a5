"""A model's thread, which takes its next batch the moment that it is free."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from services.common.errors import UnavailableError
from services.embedder.encoder import DeviceLostError, Encoder
from services.embedder.lanes import Batch, Lane, Lanes
from services.embedder.metrics import BATCH_ITEMS, BATCHES_FAILED, MODEL_SECONDS
from services.embedder.sizes import Sizes

log = logging.getLogger(__name__)

MOST_TEXTS = 16
"""In a batch. They take milliseconds, and more would only keep images waiting."""

QUERY = "two dogs run along the beach"

LENGTHS = (5, 25, 50, 100, 400)
"""Of texts to warm the model with, in words: each of few lengths that texts are padded to, and longer than any."""


class Replica:
    """An encoder, and the thread that owns it."""

    def __init__(self, encoder: Encoder, lanes: Lanes) -> None:
        self._encoder = encoder
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "model")
        self._sizes: dict[Lane, Sizes] = {}

    async def warm(self, max_batch: int) -> None:
        """Run the model in each size of a batch, and note which are worth their time."""
        await self._loop.run_in_executor(self._thread, self._measure, max_batch)
        device = self._encoder.model.device
        log.info(
            "batches timed", extra={"device": device, **{f"{lane}_ms": s.in_ms() for lane, s in self._sizes.items()}}
        )

    def start(self) -> asyncio.Future[None]:
        """Work from now on. What comes back ends when the lanes are closed; else it raises why no more can be done."""
        return self._loop.run_in_executor(self._thread, self._work)

    def close(self) -> None:
        """Wait for the thread's end."""
        self._thread.shutdown(cancel_futures=True)

    def _measure(self, max_batch: int) -> None:
        encoder = self._encoder
        side = encoder.model.image_size
        image = encoder.prepare_image(Image.new("RGB", (side, side), "gray"))
        for length in LENGTHS:
            encoder.encode_texts([encoder.prepare_text("run " * length).inputs])
        text = encoder.prepare_text(QUERY).inputs
        self._sizes = {
            "texts": Sizes.measured(encoder.encode_texts, text, min(MOST_TEXTS, max_batch)),
            "images": Sizes.measured(encoder.encode_images, image, max_batch),
        }

    def _work(self) -> None:
        try:
            while batch := self._lanes.take({lane: sizes.best for lane, sizes in self._sizes.items()}):
                self._embed(batch)
        finally:  # whatever ends one replica ends the process, and nobody is to wait for that
            self._lanes.close(UnavailableError("the model has stopped; retry in a few seconds"))

    def _embed(self, batch: Batch) -> None:
        BATCH_ITEMS.labels(batch.lane).observe(len(batch.places))
        encode = self._encoder.encode_texts if batch.lane == "texts" else self._encoder.encode_images
        try:
            with MODEL_SECONDS.labels(batch.lane).time():
                matrix = encode(batch.items)
        except DeviceLostError:
            lost = UnavailableError("the device that the model runs on has failed; retry in a few seconds")
            self._loop.call_soon_threadsafe(batch.fail, lost)
            raise
        except Exception as error:  # whatever went wrong, calls in other batches had no part in it
            BATCHES_FAILED.labels(batch.lane).inc()
            log.exception("batch failed", extra={"lane": batch.lane, "items": len(batch.places)})
            self._loop.call_soon_threadsafe(batch.fail, RuntimeError(f"the model failed: {error!r}"))
        else:
            self._loop.call_soon_threadsafe(batch.fill, matrix)
