"""What happens to a video that is in the store already, and to a job that has begun before."""

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.common.clients.store import StoreClient
from services.common.errors import NotFoundError, PreconditionError, UnavailableError
from services.common.jobs import JobState
from services.common.media import Detection, VideoFilter
from services.common.ranking import SceneRanking
from services.indexer import pipeline
from services.store.catalog import Catalog
from services.store.servicer import StoreServicer
from tests.indexers import MODEL, ColorEmbedder, Indexing, embedder_serving, indexing
from tests.servers import serving
from tests.stores import query_of
from tests.videos import write_video
from videosearch.v1.store_pb2_grpc import add_StoreServiceServicer_to_server

SCENES = [40, 30, 50]
MANY_SCENES = [20 + n % 7 for n in range(40)]


class SlowStore(StoreServicer):
    """Its puts wait until a test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()
        self.going = asyncio.Event()

    async def PutVideo(self, request_iterator, context):
        self.entered.set()
        await self.going.wait()
        return await super().PutVideo(request_iterator, context)


@asynccontextmanager
async def slow_store(folder: Path):
    servicer = SlowStore()
    with Catalog(folder) as catalog:
        servicer.use(catalog)
        async with serving(StoreClient.service, add_StoreServiceServicer_to_server, servicer) as address:
            yield servicer, address


async def test_an_unchanged_video_is_left_as_it_is(world: Indexing, embedder: ColorEmbedder) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    first = await world.ended(film.path, title="A film", metadata={"year": "2008"})
    before, count = await world.store.video(first.video_id), embedder.image_count
    second = await world.ended(film.path)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert (second.state, second.progress_percent, second.scene_count) == (JobState.SUCCEEDED, 100, 3)
    assert embedder.image_count == count
    assert await world.store.video(first.video_id) == before


async def test_an_unchanged_video_follows_what_the_request_says_of_it(world: Indexing, embedder: ColorEmbedder) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    job = await world.ended(film.path, title="A film", metadata={"year": "2008"})
    before, count = await world.store.video(job.video_id), embedder.image_count
    moved = film.path.rename(world.root / "moved.mp4")
    assert (await world.ended(moved, title="The film")).unchanged
    assert embedder.image_count == count
    assert await world.store.video(job.video_id) == replace(before, uri=str(moved), title="The film")


async def test_an_unchanged_video_is_indexed_if_it_must_be(world: Indexing, embedder: ColorEmbedder) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    await world.ended(film.path)
    count = embedder.image_count
    assert not (await world.ended(film.path, force=True)).unchanged
    assert embedder.image_count == 2 * count


async def test_other_parameters_replace_a_video_but_for_what_is_said_of_it(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    first = await world.ended(film.path, title="A film", metadata={"year": "2008"})
    detection = Detection(threshold=255.0)
    second = await world.ended(film.path, detection=detection)
    video = await world.store.video(first.video_id)
    assert (second.video_id, second.unchanged) == (first.video_id, False)
    assert (video.detection, video.title, video.metadata) == (detection, "A film", {"year": "2008"})


async def test_an_id_that_is_given_to_another_file_is_indexed_again(world: Indexing) -> None:
    first, second = (write_video(world.root / f"{length}.mp4", [length] * 3) for length in (30, 40))
    await world.ended(first.path, video_id="film")
    assert not (await world.ended(second.path, video_id="film")).unchanged
    assert (await world.store.video("film")).decoded_ns == 4 * 10**9


async def test_a_file_is_read_once_while_it_stays_as_it_is(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    os.utime(film.path, (10**9, 10**9))
    first = await world.ended(film.path)
    film.path.write_bytes(bytes(film.path.stat().st_size))
    os.utime(film.path, (10**9, 10**9))
    assert (await world.ended(film.path)).video_id == first.video_id
    assert "not a video" in (await world.ended(film.path, force=True)).error


async def test_a_job_goes_on_where_it_stopped(tmp_path: Path, embedder: ColorEmbedder) -> None:
    async with embedder_serving(embedder) as address:
        async with indexing(tmp_path, address) as world:
            film = write_video(world.root / "film.mp4", MANY_SCENES)
            whole = await world.ended(film.path, video_id="whole")
            total, embedder.pause_at = embedder.image_count, embedder.image_count * 17 // 10
            job = await world.client.index_video(str(film.path), video_id="resumed")
            await embedder.paused.wait()
        first = embedder.image_count - total
        embedder.pause_at = -1
        embedder.going.set()
        async with indexing(tmp_path, address) as world:
            resumed = await world.end_of(job.job_id)
            assert (resumed.state, resumed.scene_count) == (JobState.SUCCEEDED, whole.scene_count)
            assert embedder.image_count - total - first < first
            expected, found = [await scenes_of(world, video_id) for video_id in ("whole", "resumed")]
            assert found == expected
            videos = [await world.store.video(video_id) for video_id in ("whole", "resumed")]
            assert videos[1] == replace(videos[0], video_id="resumed", index_time=videos[1].index_time)
            assert await colors_of(world, "resumed") == pytest.approx(await colors_of(world, "whole"), abs=1e-3)


async def scenes_of(world: Indexing, video_id: str) -> list[tuple]:
    page = await world.store.scenes(video_id, 1000)
    return [(scene.ordinal, scene.segment, [sample.offset_ns for sample in scene.samples]) for scene in page.items]


async def colors_of(world: Indexing, video_id: str) -> dict[int, float]:
    """Each scene's likeness to gray, which tells its color from most others."""
    ranking = SceneRanking(top_k=1000, video_filter=VideoFilter(frozenset({video_id})))
    gray = np.full(3, 3**-0.5, np.float32)
    hits = (await world.store.find_scenes(query_of(gray, MODEL.fingerprint), ranking)).hits
    return {hit.ordinal: hit.score for hit in hits}


async def test_a_changed_model_makes_a_job_start_over(tmp_path: Path, embedder: ColorEmbedder) -> None:
    embedder.pause_at = 40
    async with embedder_serving(embedder) as address:
        async with indexing(tmp_path, address) as world:
            film = write_video(world.root / "film.mp4", MANY_SCENES)
            job = await world.client.index_video(str(film.path))
            await embedder.paused.wait()
        embedder.pause_at, embedder.image_count, embedder.fingerprint = -1, 0, "colors-2"
        embedder.going.set()
        async with indexing(tmp_path, address) as world:
            resumed = await world.end_of(job.job_id)
            assert (await world.store.video(resumed.video_id)).model == "colors-2"
            assert embedder.image_count == (await world.store.stats()).sample_count


async def test_a_failed_job_can_be_restarted(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    whole = film.path.read_bytes()
    film.path.write_bytes(b"not yet")
    job = await world.ended(film.path)
    assert job.state is JobState.FAILED
    film.path.write_bytes(whole)
    restarted = await world.client.restart_job(job.job_id)
    assert (restarted.state, restarted.error, restarted.attempt_count) == (JobState.QUEUED, "", 0)
    assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED


async def test_a_job_that_succeeded_cannot_be_restarted(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    job = await world.ended(film.path)
    with pytest.raises(PreconditionError, match="only failed and cancelled"):
        await world.client.restart_job(job.job_id)
    with pytest.raises(NotFoundError):
        await world.client.restart_job("nowhere")


async def test_a_cancel_that_comes_after_the_put_is_refused(tmp_path: Path, embedder: ColorEmbedder) -> None:
    async with (
        slow_store(tmp_path / "store") as (store, store_address),
        embedder_serving(embedder) as address,
        indexing(tmp_path, address, store_address) as world,
    ):
        film = write_video(world.root / "film.mp4", SCENES)
        job = await world.client.index_video(str(film.path))
        await store.entered.wait()
        cancelling = asyncio.create_task(world.client.cancel_job(job.job_id))
        await asyncio.sleep(0.1)  # the cancel is under way
        store.going.set()
        with pytest.raises(PreconditionError, match="in the store before"):
            await cancelling
        assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED
        assert (await world.store.stats()).video_count == 1


async def test_a_cancel_that_is_repeated_waits_for_the_put_as_well(tmp_path: Path, embedder: ColorEmbedder) -> None:
    async with (
        slow_store(tmp_path / "store") as (store, store_address),
        embedder_serving(embedder) as address,
        indexing(tmp_path, address, store_address) as world,
    ):
        film = write_video(world.root / "film.mp4", SCENES)
        job = await world.client.index_video(str(film.path))
        await store.entered.wait()
        cancelling = [asyncio.create_task(world.client.cancel_job(job.job_id)) for _ in range(2)]
        await asyncio.sleep(0.2)  # the cancels are under way
        store.going.set()
        outcomes = await asyncio.gather(*cancelling, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [PreconditionError] * 2
        assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED


async def test_a_stop_does_not_wait_for_the_put_of_a_job_that_is_being_cancelled(
    tmp_path: Path, embedder: ColorEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PUT_GRACE_S", 60.0)
    async with (
        slow_store(tmp_path / "store") as (store, store_address),
        embedder_serving(embedder) as address,
        indexing(tmp_path, address, store_address) as world,
    ):
        film = write_video(world.root / "film.mp4", SCENES)
        job = await world.client.index_video(str(film.path))
        await store.entered.wait()
        cancelling = asyncio.create_task(world.client.cancel_job(job.job_id))
        await asyncio.sleep(0.2)  # the cancel is under way
        world.working.cancel()
        await asyncio.wait({world.working}, timeout=30)
        assert world.working.done()
        with pytest.raises(UnavailableError):
            await cancelling
        store.going.set()
        await asyncio.sleep(0.2)
        assert (await world.store.stats()).video_count == 0


async def test_of_two_jobs_for_one_video_at_once_the_second_has_nothing_to_do(
    tmp_path: Path, embedder: ColorEmbedder
) -> None:
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, max_running=2) as world:
        film = write_video(world.root / "film.mp4", SCENES)
        jobs = [await world.client.index_video(str(film.path)) for _ in range(2)]
        ended = [await world.end_of(job.job_id) for job in jobs]
        assert sorted(job.unchanged for job in ended) == [False, True]
        assert embedder.image_count == (await world.store.stats()).sample_count


async def test_a_put_that_takes_long_is_cancelled(
    tmp_path: Path, embedder: ColorEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PUT_GRACE_S", 0.2)
    async with (
        slow_store(tmp_path / "store") as (store, store_address),
        embedder_serving(embedder) as address,
        indexing(tmp_path, address, store_address) as world,
    ):
        film = write_video(world.root / "film.mp4", SCENES)
        job = await world.client.index_video(str(film.path))
        await store.entered.wait()
        assert (await world.client.cancel_job(job.job_id)).state is JobState.CANCELLED
        store.going.set()
        assert (await world.store.stats()).video_count == 0
