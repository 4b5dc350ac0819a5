"""`python -m bench embed`: the encoder alone and through gRPC, with one caller and many, and a query meanwhile."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.measure import machine
from services.common.clients.embedder import EmbedderClient
from services.common.media import Model
from services.embedder import process
from services.embedder.encoder import Encoder, Inputs
from services.embedder.fidelity import TEXTS, dead_leaves, fidelity
from services.embedder.loading import Choice, load_encoders
from services.embedder.sizes import Sizes
from tools.photographs import read_photographs, split
from tools.stack import Service, free_addresses

Frame = NDArray[np.uint8]

ROUNDS = 3
"""Each measures everything, for a machine that others share is not always as fast."""

ROUND_S, ROUND_IMAGES = 3.0, 160
"""Throughput is measured for so long, or for about as many images, whichever takes longer."""

MAX_BATCH = 64

CALL = 32
"""Images of a long call, of which two are in flight, as the indexer does it."""

QUERY, QUERY_GAP_S = "two dogs run along the beach", 0.1

PICTURES = 100
"""On which fidelity is measured."""


class Raw(NamedTuple):
    """One round in the encoder's own process."""

    images_per_s: float
    one_image_ms: float
    batch_ms: float


class Remote(NamedTuple):
    """One round through gRPC."""

    images_per_s: Mapping[str, float]
    one_image_ms: Sequence[float]
    idle_text_ms: Sequence[float]
    loaded_text_ms: Sequence[float]


def embed(
    model: str, back_end: str = "auto", precision: str = "auto", photographs: Path | None = None
) -> dict[str, Any]:
    """Images are raw frames of the model's own size, as the indexer sends them.

    Fidelity is that to torch in float32, on `photographs` in the layout of `tools.photographs` or on drawn pictures.
    """
    process.tune()  # for its variables too: the other process has torch before its own call
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=process.tune) as pool:
        choice, told = pool.submit(_chosen, Choice(model, back_end=back_end, precision=precision), photographs).result()
        rounds = asyncio.run(_rounds(choice, lambda: asyncio.wrap_future(pool.submit(_raw, choice))))
    return {**told, **_summary(rounds), "rounds": ROUNDS, "machine": machine()}


def _summary(rounds: Sequence[tuple[Raw, Remote]]) -> dict[str, Any]:
    raws, remotes = zip(*rounds, strict=True)
    names = remotes[0].images_per_s
    return {
        "raw_images_per_s": _median(raw.images_per_s for raw in raws),
        "grpc_images_per_s": {name: _median(remote.images_per_s[name] for remote in remotes) for name in names},
        "grpc_of_raw": {
            name: _median(remote.images_per_s[name] / raw.images_per_s for raw, remote in rounds) for name in names
        },
        "raw_one_image_ms": _median(raw.one_image_ms for raw in raws),
        "grpc_one_image_p50_ms": _median(ms for remote in remotes for ms in remote.one_image_ms),
        "text_p50_ms_idle": _median(ms for remote in remotes for ms in remote.idle_text_ms),
        "text_p95_ms_loaded": round(
            float(np.quantile([ms for remote in remotes for ms in remote.loaded_text_ms], 0.95)), 2
        ),
        "batch_ms": _median(raw.batch_ms for raw in raws),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 2)


# In the encoder's own process.


@cache
def _loaded(choice: Choice) -> tuple[Encoder, int]:
    """The encoder and its best batch size."""
    encoder, *_ = load_encoders(choice)
    sizes = Sizes.measured(encoder.encode_images, _inputs(encoder, 1)[0], MAX_BATCH)
    return encoder, max(sizes.seconds)


def _inputs(encoder: Encoder, count: int) -> list[Inputs]:
    return [encoder.prepare_image(Image.fromarray(frame)) for frame in frames(encoder.model.image_size, count)]


def _chosen(choice: Choice, photographs: Path | None) -> tuple[Choice, dict[str, Any]]:
    """What this machine makes of "auto", so that the service is told the same; and a description."""
    model = load_encoders(choice)[0].model
    settled = Choice(choice.model, choice.device, model.back_end, model.precision)
    encoder, best = _loaded(settled)
    reference, *_ = load_encoders(Choice(choice.model, "cpu", "torch", "float32"))
    found = fidelity(encoder, reference, *_judged_on(photographs, model.image_size))
    told = {
        "model": model.name,
        "back_end": model.back_end,
        "precision": model.precision,
        "device": model.device,
        "batch_size": best,
        "fidelity": {name: value if value is None else round(value, 5) for name, value in found._asdict().items()},
    }
    return settled, told


def _judged_on(photographs: Path | None, side: int) -> tuple[Sequence[Image.Image], Sequence[str]]:
    """Pictures and texts."""
    if photographs is None:
        return dead_leaves(PICTURES, side), TEXTS
    some = split(read_photographs(photographs)).validation[:PICTURES]
    return [photograph.picture() for photograph in some], [photograph.captions[0] for photograph in some]


def _raw(choice: Choice) -> Raw:
    encoder, size = _loaded(choice)
    inputs = _inputs(encoder, size)
    batches = _timings_s(lambda: encoder.encode_images(inputs), ROUND_S)
    singles = _timings_s(lambda: encoder.encode_images(inputs[:1]), ROUND_S / 3)
    return Raw(len(batches) * size / sum(batches), 1000 * statistics.median(singles), 1000 * statistics.median(batches))


def _timings_s(work: Callable[[], object], span_s: float) -> list[float]:
    """Of one run after the other."""
    timings: list[float] = []
    while sum(timings) < span_s:
        begun = time.perf_counter()
        work()
        timings.append(time.perf_counter() - begun)
    return timings


# In this process: the callers of a real service, which is a process of its own.


async def _rounds(choice: Choice, raw: Callable[[], Awaitable[Raw]]) -> list[tuple[Raw, Remote]]:
    async with _serving(choice) as client:
        model = await client.model()
        return [await _round(client, model, await raw()) for _ in range(ROUNDS)]


@asynccontextmanager
async def _serving(choice: Choice) -> AsyncIterator[EmbedderClient]:
    address = free_addresses()["embedder"]
    settings = {"LISTEN": address, "MODEL": choice.model, "BACK_END": choice.back_end, "PRECISION": choice.precision}
    environment = {f"VIDEOSEARCH_EMBEDDER_{name}": value for name, value in settings.items()}
    service = Service("embedder", address, environment, lambda _name, _line: None)
    await service.start()
    try:
        await service.ready()
        async with EmbedderClient(address) as client:
            yield client
    finally:
        await service.stop()


async def _round(client: EmbedderClient, model: Model, raw: Raw) -> tuple[Raw, Remote]:
    images = frames(model.image_size, CALL)
    span_s = max(ROUND_S, ROUND_IMAGES / raw.images_per_s)
    alone = await _answers(client, images[:1], 1, ROUND_S)
    per_s = {
        "1": _per_s(alone),
        "8": _per_s(await _answers(client, images[:1], 8, span_s)),
        "64": _per_s(await _answers(client, images[:1], 64, span_s)),
        "batch32": CALL * _per_s(await _answers(client, images, 2, span_s)),
    }
    idle = await _texts_ms(client, ROUND_S / 3)
    loading = asyncio.create_task(_answers(client, images[:1], 64, span_s))
    await asyncio.sleep(0.1 * span_s)
    loaded = await _texts_ms(client, 0.8 * span_s)
    await loading
    return raw, Remote(per_s, (1000 * np.diff(alone)).tolist(), idle, loaded)


async def _answers(client: EmbedderClient, images: Sequence[Frame], callers: int, span_s: float) -> list[float]:
    """When calls were answered, by callers each of whom sends the next as soon as it has its answer."""
    answers: list[float] = []
    end = time.perf_counter() + span_s

    async def call() -> None:
        while time.perf_counter() < end:
            await client.embed_frames(images)
            if time.perf_counter() < end:  # what comes later was answered by a model with less and less to do
                answers.append(time.perf_counter())

    await asyncio.gather(*(call() for _ in range(callers)))
    return answers


def _per_s(answers: Sequence[float]) -> float:
    """The slope of the line through the count of answers over time, which come by the batch."""
    slope, _ = np.polyfit(answers, range(len(answers)), 1)
    return float(slope)


async def _texts_ms(client: EmbedderClient, span_s: float) -> list[float]:
    """What single texts take, one after another with gaps."""
    timings: list[float] = []
    end = time.perf_counter() + span_s
    while time.perf_counter() < end:
        await asyncio.sleep(QUERY_GAP_S)
        begun = time.perf_counter()
        await client.embed_texts([QUERY])
        timings.append(1000 * (time.perf_counter() - begun))
    return timings


def frames(side: int, count: int) -> list[Frame]:
    """Noise, (side, side, 3)."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count)]
