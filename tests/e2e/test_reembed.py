"""The whole system moves to another model, by the pictures that its own indexer has kept."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import PreconditionError
from services.common.jobs import IndexJob, JobState
from services.common.ranking import EmbeddingPart, SceneRanking
from tests.checkpoints import make_clip
from tests.videos import write_video
from tools.stack import Service, Stack, free_addresses

QUIET = {
    "VIDEOSEARCH_EMBEDDER_DEVICE": "cpu",
    "VIDEOSEARCH_EMBEDDER_BACK_END": "torch",
    "VIDEOSEARCH_EMBEDDER_PRECISION": "float32",
    "VIDEOSEARCH_INDEXER_IMAGES": "samples",
    "VIDEOSEARCH_INDEXER_MIN_IMAGE_SIDE": "96",
}


def show(name: str, line: str) -> None:
    sys.stdout.write(f"{name:<8} {line}\n")


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[Stack]:
    """With a model of random weights, a film in its folder, and such pictures as another model may want."""
    settings = {**QUIET, "VIDEOSEARCH_EMBEDDER_MODEL": str(make_clip(tmp_path / "old", seed=0))}
    settings["VIDEOSEARCH_INDEXER_VIDEO_ROOTS"] = str(tmp_path)
    async with Stack(tmp_path, log=show, settings=settings) as stack:
        yield stack


@pytest.fixture
async def other(tmp_path: Path, system: Stack) -> AsyncIterator[Service]:
    """An embedder of another model."""
    address = free_addresses()["embedder"]
    model = {"VIDEOSEARCH_EMBEDDER_MODEL": str(make_clip(tmp_path / "new", seed=1))}
    service = Service(
        "embedder", address, {**system.environment, **model, "VIDEOSEARCH_EMBEDDER_LISTEN": address}, show
    )
    await service.start()
    try:
        await service.ready()
        yield service
    finally:
        await service.stop()


async def index(system: Stack, path: Path, *, force: bool = False) -> IndexJob:
    async with IndexerClient(system.addresses["indexer"]) as indexer:
        job = await indexer.index_video(str(path), force=force)
        *_, job = [state async for state in indexer.watch_job(job.job_id)]
    assert job.state is JobState.SUCCEEDED, job.error
    return job


async def scores(system: Stack, embedder: str) -> dict[int, float]:
    """Of the film's scenes, by the model that serves at that address."""
    async with EmbedderClient(embedder) as texts, StoreClient(system.addresses["store"]) as store:
        (embedded,) = await texts.embed_texts(["a cat"])
        hits = (await store.find_scenes((EmbeddingPart(embedded.vector, embedded.model),), SceneRanking())).hits
    return {hit.ordinal: hit.score for hit in hits}


async def reembed(system: Stack, embedder: str) -> None:
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "store", "reembed", "--embedder", embedder),
        env={**os.environ, **system.environment},
    )
    assert await command.wait() == 0


async def test_a_system_moves_to_another_model_and_goes_on(tmp_path: Path, system: Stack, other: Service) -> None:
    film = write_video(tmp_path / "film.mp4", [40, 30, 50, 35]).path
    await index(system, film)
    await reembed(system, other.address)
    moved = await scores(system, other.address)
    async with SearchClient(system.addresses["search"]) as search:
        with pytest.raises(PreconditionError):  # it still asks the old embedder
            await search.search_scenes("a cat", SceneRanking())
    await system.services["embedder"].stop()
    await other.stop()
    model = {"VIDEOSEARCH_EMBEDDER_MODEL": str(tmp_path / "new")}
    embedder = Service("embedder", system.addresses["embedder"], {**system.environment, **model}, show)
    system.services["embedder"] = embedder  # which is stopped with the others
    await embedder.start()
    await embedder.ready()
    async with SearchClient(system.addresses["search"]) as search:
        assert len((await search.search_scenes("a cat", SceneRanking())).hits) == 4
    assert (await index(system, film)).unchanged
    await index(system, film, force=True)
    indexed = await scores(system, embedder.address)
    assert moved == pytest.approx(indexed, abs=0.05)  # JPEGs are not quite the pictures
