"""Uploads through a real server: whole and checked, or not at all."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import grpc
import pytest

from services.common.errors import InvalidInputError, OverloadedError
from services.common.jobs import IndexJob, JobState
from services.common.media import Detection, Detector
from services.indexer import detectors, servicer
from tests.indexers import ColorEmbedder, Indexing, embedder_serving, indexing
from tests.stores import scenes, video
from tests.videos import write_video
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc

SCENES = [40, 30, 50]
Message = indexer_pb2.UploadVideoRequest


def _header(**fields: object) -> Message:
    return Message(upload=indexer_pb2.Upload(**{"name": "film.mp4", **fields}))


def _chunks(data: bytes, size: int = 10_000) -> Iterable[Message]:
    return (Message(chunk=data[start : start + size]) for start in range(0, len(data), size))


async def _uploaded(world: Indexing, messages: Iterable[Message] | AsyncIterator[Message]) -> indexer_pb2.IndexJob:
    async with grpc.aio.insecure_channel(world.client.address) as channel:
        return (await indexer_pb2_grpc.IndexerServiceStub(channel).UploadVideo(messages)).job


def _kept(world: Indexing) -> list[str]:
    """Jobs that something lies on the disk for."""
    return [folder.name for folder in (world.root.parent / "indexer" / "spool").iterdir()]


async def test_an_uploaded_video_is_indexed(world: Indexing) -> None:
    film = write_video(world.root.parent / "holiday.mp4", SCENES)
    job = await world.client.upload_video(film.path, metadata={"year": "2008"})
    assert (job.uri, job.state.ended) == ("upload:holiday.mp4", False)
    ended = await world.end_of(job.job_id)
    video = await world.store.video(ended.video_id)
    assert (video.title, video.uri, video.metadata) == ("holiday.mp4", "upload:holiday.mp4", {"year": "2008"})
    assert video.content_sha256 == hashlib.sha256(film.path.read_bytes()).hexdigest()
    assert _kept(world) == []


async def test_an_upload_with_its_checksum_is_accepted(world: Indexing) -> None:
    data = write_video(world.root / "film.mp4", SCENES).path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    job = await _uploaded(world, [_header(content_sha256=sha256), *_chunks(data)])
    assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED


async def test_bytes_that_are_no_video_are_not_kept(world: Indexing) -> None:
    job = await _uploaded(world, [_header(), Message(chunk=b"no video")])
    assert (await world.end_of(job.job_id)).state is JobState.FAILED
    assert _kept(world) == []
    await world.client.restart_job(job.job_id)
    assert "are gone; upload them again" in (await world.end_of(job.job_id)).error


async def test_the_bytes_of_a_job_that_failed_for_another_reason_are_kept_for_its_restart(world: Indexing) -> None:
    await world.store.put_video(video("other", model="other"), scenes(1))
    job = await world.client.upload_video(write_video(world.root / "film.mp4", SCENES).path)
    failed = await world.end_of(job.job_id)
    assert (failed.state, _kept(world)) == (JobState.FAILED, [job.job_id])
    assert "the store holds embeddings of model other" in failed.error
    await world.store.delete_video("other")
    await world.client.restart_job(job.job_id)
    assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED
    assert _kept(world) == []


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "first message"),
        ([Message(chunk=b"x")], "first message"),
        ([_header()], "empty"),
        ([_header(), Message(chunk=b"")], "empty"),
        ([_header(), _header()], "chunk must be set in each message"),
        ([_header(), Message(chunk=b"x"), Message()], "chunk must be set in each message"),
        ([_header(name="")], "name must have"),
        ([_header(name="n" * 256)], "name must have"),
        ([_header(name="../film.mp4")], "name must have"),
        ([_header(name="a\0b")], "name must have"),
        ([_header(content_sha256="A" * 64)], "lower-case hexadecimal"),
        ([_header(content_sha256="0" * 64), Message(chunk=b"x")], "upload.content_sha256 is not that of the bytes"),
        ([_header(video_id="a b")], "video_id"),
        ([_header(request_id="r" * 129)], "request_id"),
        ([_header(), *_chunks(b"x" * 1_000_001)], "larger than the 1000000 bytes"),
    ],
)
async def test_an_upload_that_is_wrong_is_refused_and_leaves_nothing(
    world: Indexing, messages: list[Message], reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=reason) as failure:
        await _uploaded(world, messages)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _kept(world) == []
    assert (await world.client.jobs()).items == ()


async def test_an_endless_upload_is_refused_while_it_is_sent(world: Indexing, tmp_path: Path) -> None:
    huge = tmp_path / "huge.mp4"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    for _ in range(10):  # because what the server says could be lost in many orders of events
        with pytest.raises(InvalidInputError, match="larger than the 1000000 bytes"):
            await world.client.upload_video(huge)
    await _until(lambda: _kept(world) == [])


async def test_uploads_beyond_the_room_for_them_are_told_to_come_again(
    world: Indexing, embedder: ColorEmbedder
) -> None:
    embedder.going.clear()
    data = write_video(world.root / "film.mp4", SCENES).path.read_bytes()
    filler = b"\0" * (900_000 - len(data))  # which no decoder minds
    for _ in range(11):
        await _uploaded(world, [_header(), *_chunks(data + filler, 100_000)])
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await _uploaded(world, [_header(), *_chunks(data + filler, 100_000)])
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_what_cannot_be_accepted_is_refused_before_the_bytes_come(
    tmp_path: Path, embedder: ColorEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectors, "find_spec", lambda _: None)
    film = tmp_path / "film.mp4"
    film.write_bytes(b"x" * 2_000_000)  # more than any upload may have
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, max_queued=0) as world:
        with pytest.raises(OverloadedError, match="jobs are waiting"):
            await world.client.upload_video(film)
        with pytest.raises(InvalidInputError, match="lacks its extra"):
            await world.client.upload_video(film, detection=Detection(Detector.TRANSNETV2))


async def test_an_upload_that_is_cancelled_leaves_nothing(world: Indexing) -> None:
    going = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        yield _header()
        yield Message(chunk=b"x" * 1000)
        await going.wait()

    call = asyncio.create_task(_uploaded(world, messages()))
    await _until(lambda: _kept(world) != [])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await _until(lambda: _kept(world) == [])
    assert (await world.client.jobs()).items == ()


async def test_a_client_that_falls_silent_is_given_up(world: Indexing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicer, "SILENCE_S", 0.3)
    going = asyncio.Event()

    async def messages() -> AsyncIterator[Message]:
        yield _header()
        yield Message(chunk=b"x")
        await going.wait()

    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await _uploaded(world, messages())
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await _until(lambda: _kept(world) == [])


async def test_a_repeated_upload_is_answered_without_its_bytes(world: Indexing) -> None:
    first = await _uploaded(world, [_header(request_id="once"), Message(chunk=b"x" * 1000)])
    again = await _uploaded(world, [_header(request_id="once")])
    assert again.job_id == first.job_id


async def test_two_uploads_at_once_with_one_request_id_are_one_job(world: Indexing) -> None:
    messages = [_header(request_id="once"), Message(chunk=b"x" * 1000)]
    jobs = await asyncio.gather(*(_uploaded(world, messages) for _ in range(4)))
    assert len({job.job_id for job in jobs}) == 1
    assert len((await world.client.jobs()).items) == 1
    assert set(_kept(world)) <= {jobs[0].job_id}


async def test_a_request_id_of_another_upload_is_refused(world: Indexing) -> None:
    await _uploaded(world, [_header(request_id="once"), Message(chunk=b"x")])
    with pytest.raises(grpc.aio.AioRpcError, match="another request"):
        await _uploaded(world, [_header(request_id="once", name="other.mp4"), Message(chunk=b"x")])


async def test_an_uploaded_video_cannot_be_asked_for_by_its_uri(world: Indexing) -> None:
    with pytest.raises(InvalidInputError, match="UploadVideo"):
        await world.client.index_video("upload:film.mp4")


async def test_an_accepted_upload_outlives_the_service(tmp_path: Path, embedder: ColorEmbedder) -> None:
    embedder.going.clear()
    film = write_video(tmp_path / "film.mp4", SCENES)
    async with embedder_serving(embedder) as address:
        async with indexing(tmp_path, address) as world:
            job: IndexJob = await world.client.upload_video(film.path)
        embedder.going.set()
        async with indexing(tmp_path, address) as world:
            assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the disk
            await asyncio.sleep(0.01)
