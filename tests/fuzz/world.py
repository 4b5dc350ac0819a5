"""Four services with something in them, and what can be seen of them from outside while they are called."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from services.common import vectors
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.media import Scene, Video
from tests.fuzz.known import VIDEO_IDS, known_of, staged
from tests.videos import write_video
from tools.stack import CLIENTS, Stack

FORBIDDEN = {"INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE"}
"""Of a service that is well and has well peers."""

SETTINGS = {
    "VIDEOSEARCH_LOG_FORMAT": "json",
    "VIDEOSEARCH_EMBEDDER_BACK_END": "torch",  # the quickest to start
    "VIDEOSEARCH_EMBEDDER_PRECISION": "float32",
    "VIDEOSEARCH_EMBEDDER_DEVICE": "cpu",
    "VIDEOSEARCH_EMBEDDER_MAX_BATCH": "4",
    "VIDEOSEARCH_EMBEDDER_MAX_QUEUE": "256",
    "VIDEOSEARCH_INDEXER_MAX_QUEUED_JOBS": "20",
    "VIDEOSEARCH_INDEXER_MAX_VIDEO_BYTES": "1000000",
    "VIDEOSEARCH_INDEXER_MAX_SPOOL_BYTES": "5000000",
    "VIDEOSEARCH_SEARCH_CACHED_TEXTS": "100",
}


@dataclass
class World:
    stack: Stack
    film: tuple[Video, list[Scene]]
    known: dict[str, Sequence[Any]] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    """What the services have printed, each with the service's name."""

    def address(self, service: str) -> str:
        """Of a service by its full name."""
        return next(self.stack.addresses[name] for name, client in CLIENTS.items() if client.service == service)

    def resident_mib(self) -> dict[str, float]:
        """Memory of each service's process."""
        return {
            name: psutil.Process(service.process.pid).memory_info().rss / 2**20
            for name, service in self.stack.services.items()
        }

    async def refill(self) -> None:
        """Put the videos that the calls may have changed or deleted, in the place of whatever else is there."""
        video, scenes = self.film
        async with StoreClient(self.stack.addresses["store"]) as store:
            if (await store.stats()).model != video.model:
                for other in (await store.videos()).items:
                    await store.delete_video(other.video_id)
            put = [await store.put_video(replace(video, video_id=one, title=one), scenes) for one in VIDEO_IDS]
        self.known |= staged(put, scenes)

    async def health(self) -> dict[str, bool]:
        """Whether each service says that it serves. StackError if one has died."""
        serving = {}
        for name, client_type in CLIENTS.items():
            await self.stack.services[name].raise_if_stopped()
            async with client_type(self.stack.addresses[name]) as client:
                serving[name] = await client.serving()
        return serving

    def complaints(self) -> list[str]:
        """What services have said that they must not, whatever they are asked."""
        return [f"{name}: {line}" for name, line in self.lines if _complains(line)]


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    film = write_video(folder / "film.mp4", [20, 25, 20]).path
    (folder / "no-film.mp4").write_bytes(bytes(range(256)) * 40)
    lines: list[tuple[str, str]] = []
    settings = {**SETTINGS, "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(folder)}
    async with Stack(folder / "data", log=lambda *line: lines.append(line), settings=settings) as stack:
        made = World(stack, await _indexed(stack, film), lines=lines)
        await made.refill()
        made.known |= await known_of(stack.addresses, film, made.film)
        yield made


async def _indexed(stack: Stack, film: Path) -> tuple[Video, list[Scene]]:
    async with IndexerClient(stack.addresses["indexer"]) as indexer, StoreClient(stack.addresses["store"]) as store:
        job = await indexer.index_video(str(film), metadata={"kind": "cartoon", "year": "1999"})
        *_, job = [state async for state in indexer.watch_job(job.job_id)]
        video = await store.video(job.video_id)
        scenes = (await store.scenes(job.video_id, include_images=True)).items
        dimension = (await store.stats()).dimension
        await store.delete_video(job.video_id)
        return video, [_embedded(scene, dimension) for scene in scenes]


def _embedded(scene: Scene, dimension: int) -> Scene:
    """The scene with other vectors, as the store tells none."""
    random = np.random.default_rng(scene.ordinal)
    matrix = vectors.normalize(random.standard_normal((len(scene.samples), dimension)))
    samples = (replace(sample, vector=vector) for sample, vector in zip(scene.samples, matrix, strict=True))
    return replace(scene, samples=tuple(samples))


def _complains(line: str) -> bool:
    """A line of another form; an error, or what fell over, even a decoder; or a call that ended as none may."""
    try:
        event = json.loads(line)
    except ValueError:
        return True
    fell = event["level"] == "error" or "Traceback" in line or event.get("code") in FORBIDDEN
    return fell and not _has_nobody_left(line)


def _has_nobody_left(line: str) -> bool:
    """Whether gRPC says, behind our back, that it could not send a status because the caller has gone."""
    return (
        "raised in core" in line and "execute_batch" in line and not ("grpc_call_error" in line or "/services/" in line)
    )
