"""Indexing through a real server, with real videos, a real store and real child processes."""

import struct
from contextlib import asynccontextmanager

import grpc
import pytest

from services.common.errors import (
    InvalidInputError,
    NotFoundError,
)
from services.common.jobs import JobState
from services.common.media import Detection, Detector, Segment, nanoseconds
from tests.indexers import MODEL, Indexing
from tests.videos import write_audio, write_video
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc

SCENES = [40, 30, 50]


@asynccontextmanager
async def raw_stub(world: Indexing):
    async with grpc.aio.insecure_channel(world.client.address) as channel:
        yield indexer_pb2_grpc.IndexerServiceStub(channel)


async def test_an_indexed_video_is_in_the_store_with_what_is_known_of_it(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES, fps=25, size=(160, 96))
    job = await world.ended(film.path, title="A film", metadata={"year": "2008"})
    assert (job.state, job.progress_percent, job.scene_count) == (JobState.SUCCEEDED, 100, 3)
    video = await world.store.video(job.video_id)
    assert (video.title, video.uri, video.metadata) == ("A film", str(film.path), {"year": "2008"})
    assert (video.width, video.height, video.codec, video.frame_rate) == (160, 96, "h264", 25)
    assert video.decoded_ns == video.duration_ns == nanoseconds(film.duration)
    assert (video.model, video.decode_errors, video.scene_count) == (MODEL.fingerprint, 0, 3)


async def test_scenes_have_the_film_s_own_spans(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES, fps=25)
    job = await world.ended(film.path)
    page = await world.store.scenes(job.video_id)
    spans = [Segment(nanoseconds(start), nanoseconds(end)) for start, end in film.spans]
    assert [scene.segment for scene in page.items] == spans


async def test_a_title_not_given_is_the_file_s_name(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    job = await world.ended(film.path)
    assert (await world.store.video(job.video_id)).title == "film.mp4"


async def test_the_same_bytes_are_the_same_video(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    (world.root / "copy.mp4").write_bytes(film.path.read_bytes())
    first, second = await world.ended(film.path), await world.ended(world.root / "copy.mp4")
    assert first.video_id == second.video_id
    assert (await world.store.stats()).video_count == 1


async def test_a_caller_may_choose_the_id(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    job = await world.ended(film.path, video_id="my-film")
    assert job.video_id == (await world.store.video("my-film")).video_id == "my-film"


async def test_parameters_of_detection_are_heeded_and_kept(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    detection = Detection(Detector.CONTENT, threshold=255.0, min_scene_ns=0, max_scene_ns=10**11)
    job = await world.ended(film.path, detection=detection)
    video = await world.store.video(job.video_id)
    assert (video.scene_count, video.detection) == (1, detection)


async def test_a_watcher_sees_the_job_from_the_present_state_to_its_end(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", SCENES)
    job = await world.client.index_video(str(film.path))
    seen = [state async for state in world.client.watch_job(job.job_id)]
    assert seen[-1].state is JobState.SUCCEEDED
    assert [state.progress_percent for state in seen] == sorted(state.progress_percent for state in seen)
    assert [state async for state in world.client.watch_job(job.job_id)] == [seen[-1]]


async def test_a_request_id_makes_the_call_safe_to_repeat(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    jobs = [await world.client.index_video(str(film.path), request_id="r-1") for _ in range(2)]
    assert jobs[0].job_id == jobs[1].job_id


async def test_jobs_are_listed_by_state_and_page(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    ended = [(await world.ended(film.path)).job_id for _ in range(3)]
    first = await world.client.jobs(page_size=2, states=[JobState.SUCCEEDED])
    rest = await world.client.jobs(2, first.next_page_token, [JobState.SUCCEEDED])
    assert [job.job_id for job in (*first.items, *rest.items)] == ended[::-1]
    assert (await world.client.jobs(states=[JobState.FAILED])).items == ()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("words.mp4", b"only words\n" * 100, "not a video"),
        ("empty.mp4", b"", "is empty"),
        ("page.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a video"),
    ],
)
async def test_a_file_that_is_no_video_fails_its_job(world: Indexing, name: str, content: bytes, reason: str) -> None:
    (world.root / name).write_bytes(content)
    job = await world.ended(world.root / name)
    assert job.state is JobState.FAILED
    assert reason in job.error


async def test_sound_without_pictures_fails_its_job(world: Indexing) -> None:
    job = await world.ended(write_audio(world.root / "sound.mp4"))
    assert (job.state, job.error) == (JobState.FAILED, "sound.mp4 has no video stream")


async def test_a_truncated_file_is_indexed_as_far_as_it_goes(world: Indexing) -> None:
    film = write_video(world.root / "film.mkv", [100, 100, 100], fps=25, size=(320, 192))
    data = film.path.read_bytes()
    film.path.write_bytes(data[: len(data) // 2])
    video = await world.store.video((await world.ended(film.path)).video_id)
    assert video.duration_ns is not None
    assert 0.2 < video.decoded_ns / video.duration_ns < 0.8


async def test_a_one_frame_video_has_one_scene(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [1], fps=25)
    page = await world.store.scenes((await world.ended(film.path)).video_id)
    assert [(scene.segment, len(scene.samples)) for scene in page.items] == [(Segment(0, 40_000_000), 1)]


async def test_a_path_outside_of_the_roots_is_refused(world: Indexing) -> None:
    with pytest.raises(InvalidInputError, match="outside of the indexer's allowed roots"):
        await world.client.index_video("/etc/passwd")


async def test_a_missing_file_is_not_found(world: Indexing) -> None:
    with pytest.raises(NotFoundError, match="finds no file"):
        await world.client.index_video(str(world.root / "missing.mp4"))


async def test_a_folder_is_refused(world: Indexing) -> None:
    with pytest.raises(InvalidInputError, match="is a folder"):
        await world.client.index_video(str(world.root))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"video_id": "no spaces"}, "video_id"),
        ({"title": "t" * 1001}, "title"),
        ({"request_id": "r" * 129}, "request_id"),
        ({"metadata": {"": "v"}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(65)}}, "65 keys"),
        ({"detection": Detection(threshold=-1.0)}, "threshold"),
        ({"detection": Detection(threshold=float("nan"))}, "threshold"),
        ({"detection": Detection(max_scene_ns=0)}, "max_scene_duration"),
        ({"detection": Detection(min_scene_ns=-1)}, "min_scene_duration"),
    ],
)
async def test_a_malformed_request_is_refused(world: Indexing, arguments: dict, message: str) -> None:
    film = write_video(world.root / "film.mp4", [10])
    with pytest.raises(InvalidInputError, match=message):
        await world.client.index_video(str(film.path), **arguments)


async def test_an_unspecified_detector_or_state_is_refused(world: Indexing) -> None:
    async with raw_stub(world) as stub:
        unspecified = indexer_pb2.ListIndexJobsRequest(states=[0])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListIndexJobs(unspecified)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        film = write_video(world.root / "film.mp4", [10])
        request = indexer_pb2.IndexVideoRequest(uri=str(film.path))
        request.detection.detector = 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.IndexVideo(request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (0, "elsewhere"), (0, "9" * 40), (0, "-1")])
async def test_a_page_that_cannot_be_is_refused(world: Indexing, size: int, token: str) -> None:
    with pytest.raises(InvalidInputError, match="page_"):
        await world.client.jobs(size, token)


async def test_an_unknown_job_is_not_found(world: Indexing) -> None:
    with pytest.raises(NotFoundError):
        await world.client.job("nowhere")
    with pytest.raises(NotFoundError):
        await world.client.cancel_job("nowhere")
    with pytest.raises(NotFoundError):
        await world.end_of("nowhere")


@pytest.mark.parametrize("uri", ["http://[x", "{root}/" + "n" * 300, "{root}/film.mp4/inside"])
async def test_a_uri_that_the_system_refuses_is_refused(world: Indexing, uri: str) -> None:
    write_video(world.root / "film.mp4", [10])
    with pytest.raises((InvalidInputError, NotFoundError)):
        await world.client.index_video(uri.format(root=world.root))


async def test_a_repeated_request_is_answered_when_its_file_is_gone(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    job = await world.client.index_video(str(film.path), request_id="r-1")
    await world.end_of(job.job_id)
    film.path.unlink()
    assert (await world.client.index_video(str(film.path), request_id="r-1")).job_id == job.job_id


async def test_a_request_id_is_refused_for_another_request(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    await world.client.index_video(str(film.path), request_id="r-1")
    with pytest.raises(InvalidInputError, match="used for another request"):
        await world.client.index_video(str(film.path), title="other", request_id="r-1")


async def test_a_download_from_a_host_that_is_not_allowed_is_refused(world: Indexing) -> None:
    with pytest.raises(InvalidInputError, match="allowed hosts"):
        await world.client.index_video("https://elsewhere.invalid/film.mp4")


async def test_a_film_wider_than_any_screen_is_indexed(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [30, 30], fps=25, size=(1600, 32))
    assert (await world.ended(film.path)).state is JobState.SUCCEEDED


async def test_an_answer_that_quotes_a_long_input_still_arrives(world: Indexing) -> None:
    with pytest.raises(NotFoundError, match="no job"):
        await world.client.job("é" * 3000)


async def test_a_film_whose_frames_change_their_shape_is_indexed(world: Indexing) -> None:
    wide = write_video(world.root / "wide.ts", [50], fps=25, size=(320, 180))
    tall = write_video(world.root / "tall.ts", [50], fps=25, size=(180, 320), first_pts=50)
    film = world.root / "film.ts"
    film.write_bytes(wide.path.read_bytes() + tall.path.read_bytes())
    ended = await world.ended(film)
    assert (ended.state, ended.error) == (JobState.SUCCEEDED, "")


async def test_a_film_in_an_unknown_code_fails_with_that_reason(world: Indexing) -> None:
    film = write_video(world.root / "film.mp4", [10])
    film.path.write_bytes(film.path.read_bytes().replace(b"avc1", b"zzzz"))
    ended = await world.ended(film.path)
    assert ended.state is JobState.FAILED
    assert "not known here" in ended.error


async def test_a_negative_duration_counts_as_unknown(world: Indexing) -> None:
    film = write_video(world.root / "film.mkv", [50], fps=25)
    data = bytearray(film.path.read_bytes())
    duration = data.index(b"\x44\x89\x88") + 3  # Matroska's element Duration: a double in milliseconds
    data[duration : duration + 8] = struct.pack(">d", -5000.0)
    film.path.write_bytes(data)
    ended = await world.ended(film.path)
    assert (ended.state, ended.error) == (JobState.SUCCEEDED, "")
    assert (await world.store.video(ended.video_id)).duration_ns is None
