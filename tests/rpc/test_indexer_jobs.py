"""Jobs through a real server when things go otherwise: cancelled, crashed, stopped, peers away."""

import asyncio
import socket
from pathlib import Path

import psutil
import pytest

from services.common.errors import OverloadedError, PreconditionError, UnavailableError
from services.common.jobs import JobStage, JobState
from services.common.media import Detection
from tests.indexers import ColorEmbedder, Indexing, embedder_serving, indexing
from tests.videos import write_video

SCENES = [40, 30, 50]


async def test_a_running_job_is_cancelled_and_leaves_nothing(world: Indexing, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    film = write_video(world.root / "film.mp4", SCENES)
    job = await world.client.index_video(str(film.path))
    await embedder.asked.wait()
    cancelled = await world.client.cancel_job(job.job_id)
    assert cancelled.state is JobState.CANCELLED
    assert (await world.store.stats()).video_count == 0
    assert psutil.Process().children() == []


async def test_a_waiting_job_is_cancelled_before_it_starts(world: Indexing, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    film = write_video(world.root / "film.mp4", SCENES)
    first, second = [await world.client.index_video(str(film.path)) for _ in range(2)]
    assert (await world.client.cancel_job(second.job_id)).state is JobState.CANCELLED
    embedder.going.set()
    assert (await world.end_of(first.job_id)).state is JobState.SUCCEEDED


async def test_an_ended_job_cannot_be_cancelled(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    job = await world.ended(film.path)
    with pytest.raises(PreconditionError, match="ended already"):
        await world.client.cancel_job(job.job_id)


async def test_a_job_waits_for_an_embedder_that_is_away(tmp_path: Path, embedder: ColorEmbedder) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    async with indexing(tmp_path, address) as world:
        film = write_video(world.root / "film.mp4", SCENES)
        job = await world.client.index_video(str(film.path))
        async for state in world.client.watch_job(job.job_id):
            if state.stage is JobStage.READING:
                break
        async with embedder_serving(embedder, address):
            assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED


async def test_a_job_fails_with_a_reason_when_the_embedder_stays_away(tmp_path: Path) -> None:
    async with indexing(tmp_path, "127.0.0.1:1", patience_s=0.5) as world:
        film = write_video(world.root / "film.mp4", SCENES)
        job = await world.ended(film.path)
        assert job.state is JobState.FAILED
        assert "EmbedderService at 127.0.0.1:1" in job.error
        assert (await world.store.stats()).video_count == 0


async def test_a_job_goes_on_after_a_restart(tmp_path: Path, embedder: ColorEmbedder) -> None:
    async with embedder_serving(embedder) as address:
        embedder.going.clear()
        async with indexing(tmp_path, address) as world:
            film = write_video(world.root / "film.mp4", SCENES)
            job = await world.client.index_video(str(film.path))
            await embedder.asked.wait()
        embedder.going.set()
        async with indexing(tmp_path, address) as world:
            assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED
            assert (await world.store.stats()).video_count == 1


async def test_a_model_that_changes_in_the_middle_fails_the_job(world: Indexing, embedder: ColorEmbedder) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    embedder.going.clear()
    job = await world.client.index_video(str(film.path))
    await embedder.asked.wait()
    embedder.fingerprint = "colors-2"
    embedder.going.set()
    ended = await world.end_of(job.job_id)
    assert ended.state is JobState.FAILED
    assert "index it again" in ended.error


async def test_a_full_queue_refuses(tmp_path: Path, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, max_queued=1) as world:
        film = write_video(world.root / "film.mp4", SCENES)
        await world.client.index_video(str(film.path))
        await embedder.asked.wait()
        await world.client.index_video(str(film.path))
        with pytest.raises(OverloadedError, match="jobs are waiting"):
            await world.client.index_video(str(film.path))
        embedder.going.set()


async def test_several_jobs_run_at_once_where_that_is_set(tmp_path: Path, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, max_running=2) as world:
        films = [write_video(world.root / f"{name}.mp4", SCENES, fps=fps) for name, fps in (("a", 25), ("b", 30))]
        jobs = [await world.client.index_video(str(film.path)) for film in films]
        await asyncio.gather(*(until_running(world, job.job_id) for job in jobs))
        embedder.going.set()
        ended = await asyncio.gather(*(world.end_of(job.job_id) for job in jobs))
        assert [job.state for job in ended] == [JobState.SUCCEEDED] * 2


async def until_running(world: Indexing, job_id: str) -> None:
    async for state in world.client.watch_job(job_id):
        if state.state is JobState.RUNNING:
            return


async def test_a_file_that_vanishes_before_its_turn_fails_its_job(world: Indexing, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    first = write_video(world.root / "first.mp4", SCENES)
    second = write_video(world.root / "second.mp4", SCENES)
    await world.client.index_video(str(first.path))
    job = await world.client.index_video(str(second.path))
    second.path.unlink()
    embedder.going.set()
    ended = await world.end_of(job.job_id)
    assert ended.state is JobState.FAILED
    assert "finds no file" in ended.error


async def test_watchers_of_a_service_that_stops_are_told_to_come_back(tmp_path: Path, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    async with embedder_serving(embedder) as address:
        async with indexing(tmp_path, address) as world:
            film = write_video(world.root / "film.mp4", SCENES)
            job = await world.client.index_video(str(film.path))
            await embedder.asked.wait()
            watching = asyncio.create_task(world.end_of(job.job_id))
            await until_running(world, job.job_id)
            world.working.cancel()
            with pytest.raises(UnavailableError, match="try again"):
                await watching
        embedder.going.set()


async def test_a_job_whose_decoder_waits_for_its_reader_can_be_cancelled(
    world: Indexing, embedder: ColorEmbedder
) -> None:
    embedder.going.clear()
    film = write_video(world.root / "film.mp4", [20] * 100, size=(640, 360))
    job = await world.client.index_video(str(film.path), detection=Detection(min_scene_ns=0))
    await embedder.asked.wait()
    (child,) = psutil.Process().children()
    await until_idle(child)
    assert (await world.client.cancel_job(job.job_id)).state is JobState.CANCELLED


async def until_idle(process: psutil.Process) -> None:
    """Return when a process no longer computes: a decoder whose pipe is full, for one."""
    while await asyncio.to_thread(process.cpu_percent, 0.3):
        pass
