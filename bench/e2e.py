"""`python -m bench e2e`: a query from its text to its hits, through the real services, in a store of many scenes."""

import asyncio
import itertools
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.clusters import SAMPLES_PER_SCENE, Clusters, fill
from bench.measure import machine, milliseconds
from bench.system import running
from services.common import vectors
from services.common.clients.channel import ANONYMOUS
from services.common.clients.credentials import Credentials
from services.common.clients.embedder import EmbedderClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.media import Matrix
from services.common.ranking import SceneRanking, VideoRanking
from services.store.candidates import EXACT_SAMPLES
from services.store.scenes import IndexedVideo
from tools.lite_classes import class_names
from tools.stack import Stack

QUERIES = 200
"""Of each kind, one after the other; each text is new."""

QPS_S = 5.0
CALLERS = 32

MAX_TEXTS = 256
"""Of one call of EmbedTexts."""

COSINE = 0.3
"""Of a scene with the text that describes it, as CLIP has it."""

Ask = Callable[[str], Awaitable[object]]


def e2e(model: str, scene_count: int) -> dict[str, Any]:
    return asyncio.run(_e2e(model, scene_count))


async def _e2e(model: str, scene_count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with running(model, Path(folder)) as stack:
            await fill_store(stack, scene_count)
            figures = await _figures(stack)
    return {**figures, "scenes": scene_count, "machine": machine()}


async def fill_store(stack: Stack, scene_count: int, credentials: Credentials = ANONYMOUS) -> None:
    """Stop the store, write what it shall hold, and wait until it searches that as it will from then on."""
    store = stack.services["store"]
    await store.stop()
    async with EmbedderClient(stack.addresses["embedder"], credentials) as embedder:
        served = await embedder.model()
        embedded = [await embedder.embed_texts(texts) for texts in _batches(_texts())]
    matrix = np.stack([one.vector for batch in embedded for one in batch])
    clusters = Clusters(scene_count, served.dimension, served.fingerprint)
    videos = (_described(video, matrix) for video in clusters.videos(scene_count))
    await asyncio.to_thread(fill, Path(stack.environment["VIDEOSEARCH_STORE_DATA_FOLDER"]), videos)
    await store.start()
    await store.ready(timeout_s=600)
    async with StoreClient(store.address, credentials) as client:
        stats = await client.stats()
        while stats.sample_count >= EXACT_SAMPLES and not stats.approximate_sample_count:
            await asyncio.sleep(0.2)
            stats = await client.stats()


def _described(video: IndexedVideo, texts: Matrix) -> IndexedVideo:
    """The video, each scene of which one of the texts describes."""
    random = np.random.default_rng(zlib.crc32(video.video.video_id.encode()))
    numbers = random.integers(0, len(texts), len(video.scenes))
    described = texts[np.repeat(numbers, SAMPLES_PER_SCENE)]
    elsewhere = (1 - COSINE**2) ** 0.5 * video.embeddings.astype(np.float32)
    return replace(video, embeddings=vectors.normalize(COSINE * described + elsewhere).astype(np.float16))


def _texts() -> list[str]:
    """A thousand, all different."""
    return [f"a photo of a {name}" for name in class_names()]


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[first : first + MAX_TEXTS] for first in range(0, len(texts), MAX_TEXTS))


def _new_texts() -> Iterator[str]:
    """Each one is given once."""
    names = class_names()
    yield from (f"{first} beside {second}" for first, second in itertools.pairwise(names))


async def _figures(stack: Stack) -> dict[str, Any]:
    async with (
        EmbedderClient(stack.addresses["embedder"]) as embedder,
        SearchClient(stack.addresses["search"]) as search,
    ):
        asked: dict[str, Ask] = {
            "text_embed": lambda text: embedder.embed_texts([text]),
            "query": lambda text: search.search_videos(text, VideoRanking()),
            "scenes_query": lambda text: search.search_scenes(text, SceneRanking()),
        }
        times = await _times(asked)
        for kind in ("query", "scenes_query"):
            for text in _texts():
                await asked[kind](text)
        return {
            "query_p50_ms": milliseconds(times["query"], 50),
            "query_p95_ms": milliseconds(times["query"], 95),
            "scenes_query_p50_ms": milliseconds(times["scenes_query"], 50),
            "text_embed_ms": milliseconds(times["text_embed"], 50),
            "cached_query_p50_ms": milliseconds(await _one_after_the_other(asked["query"]), 50),
            "ranked_query_p50_ms": milliseconds(await _one_after_the_other(_ranked_anew(search)), 50),
            "cached_qps": await _per_second(asked["query"], CALLERS),
            "cached_qps_of_one_caller": await _per_second(asked["query"], 1),
            "cached_scenes_qps": await _per_second(asked["scenes_query"], CALLERS),
            "ranked_qps": await _per_second(_ranked_anew(search), CALLERS),
        }


def _ranked_anew(search: SearchClient) -> Ask:
    """Requests that differ, so that the store makes each ranking, of texts that are remembered."""
    numbers = itertools.count()
    return lambda text: search.search_videos(text, VideoRanking(min_score=-1 - next(numbers) * 1e-9))


async def _times(asked: Mapping[str, Ask]) -> dict[str, list[float]]:
    """Seconds of each kind, in turns, so that they saw the same machine."""
    texts, times = _new_texts(), {name: list[float]() for name in asked}
    for _ in range(QUERIES):
        for name, ask in asked.items():
            times[name].append(await _timed(ask, next(texts)))
    return times


async def _one_after_the_other(ask: Ask) -> list[float]:
    return [await _timed(ask, text) for text in _texts()[:QUERIES]]


async def _timed(ask: Ask, text: str) -> float:
    begun = time.perf_counter()
    await ask(text)
    return time.perf_counter() - begun


async def _per_second(ask: Ask, callers: int) -> float:
    """Each text is another one than those being asked at the time, and was embedded before."""
    texts, answered, begun = itertools.cycle(_texts()), 0, time.perf_counter()

    async def call() -> None:
        nonlocal answered
        while time.perf_counter() - begun < QPS_S:
            await ask(next(texts))
            answered += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    return round(answered / (time.perf_counter() - begun), 1)
