"""Jobs whose peers go away in the middle and come back at the same address."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.common.clients.store import StoreClient
from services.common.jobs import JobStage, JobState
from services.store.catalog import Catalog
from services.store.servicer import StoreServicer
from tests.indexers import ColorEmbedder, embedder_serving, indexing
from tests.servers import serving
from tests.videos import write_video
from videosearch.v1.store_pb2_grpc import add_StoreServiceServicer_to_server

SCENES = [40, 30, 50]


@pytest.fixture
def embedder() -> ColorEmbedder:
    """Its image calls wait until a test lets them go."""
    embedder = ColorEmbedder()
    embedder.going.clear()
    return embedder


async def test_a_job_outlasts_an_embedder_that_goes_away_while_it_embeds(
    tmp_path: Path, embedder: ColorEmbedder
) -> None:
    async with AsyncExitStack() as first:
        address = await first.enter_async_context(embedder_serving(embedder))
        async with indexing(tmp_path, address) as world:
            film = write_video(world.root / "film.mp4", SCENES)
            job = await world.client.index_video(str(film.path))
            await embedder.asked.wait()
            await first.aclose()
            embedder.going.set()
            async with embedder_serving(embedder, address):
                assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED
                assert (await world.store.stats()).scene_count == len(SCENES)


async def test_a_job_outlasts_a_store_that_is_away_at_the_put(tmp_path: Path, embedder: ColorEmbedder) -> None:
    servicer, add = StoreServicer(), add_StoreServiceServicer_to_server
    async with AsyncExitStack() as first, embedder_serving(embedder) as embedder_address:
        with Catalog(tmp_path / "store") as catalog:
            servicer.use(catalog)
            address = await first.enter_async_context(serving(StoreClient.service, add, servicer))
            async with indexing(tmp_path, embedder_address, address) as world:
                film = write_video(world.root / "film.mp4", SCENES)
                job = await world.client.index_video(str(film.path))
                await embedder.asked.wait()
                await first.aclose()
                embedder.going.set()
                async for state in world.client.watch_job(job.job_id):
                    if state.stage is JobStage.STORING:
                        break
                async with serving(StoreClient.service, add, servicer, listen=address):
                    assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED
                    assert (await world.store.stats()).scene_count == len(SCENES)


async def test_a_job_that_waits_for_a_store_that_is_away_is_cancelled_at_once(
    tmp_path: Path, embedder: ColorEmbedder
) -> None:
    servicer, add = StoreServicer(), add_StoreServiceServicer_to_server
    async with AsyncExitStack() as first, embedder_serving(embedder) as embedder_address:
        with Catalog(tmp_path / "store") as catalog:
            servicer.use(catalog)
            address = await first.enter_async_context(serving(StoreClient.service, add, servicer))
            async with indexing(tmp_path, embedder_address, address, patience_s=300.0) as world:
                film = write_video(world.root / "film.mp4", SCENES)
                job = await world.client.index_video(str(film.path))
                await embedder.asked.wait()
                await first.aclose()
                embedder.going.set()
                async for state in world.client.watch_job(job.job_id):
                    if state.stage is JobStage.STORING:
                        break
                async with asyncio.timeout(2):
                    assert (await world.client.cancel_job(job.job_id)).state is JobState.CANCELLED
