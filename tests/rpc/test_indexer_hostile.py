"""Hostile and broken files between good ones, through a real server: they fail alone, each with a reason."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from services.common.jobs import IndexJob, JobState
from services.indexer.limits import Limits
from tests.fuzzing import damaged, truncated, with_header_first
from tests.indexers import ColorEmbedder, Indexing, embedder_serving, indexing
from tests.videos import write_video


@pytest.fixture
async def world(tmp_path: Path, embedder: ColorEmbedder) -> AsyncIterator[Indexing]:
    """Gives a decoder up early, and works on two jobs."""
    limits = Limits(silence_s=20.0)
    async with (
        embedder_serving(embedder) as address,
        indexing(tmp_path, address, limits=limits, max_running=2) as world,
    ):
        yield world


def patched(film: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """An mp4 with a lie in one of its tables, `offset` bytes behind its name."""
    start = film.index(box) + len(box) + offset
    return film[:start] + value + film[start + len(value) :]


def announcing_much(film: bytes) -> dict[str, bytes]:
    """Small files that announce large things."""
    most = b"\x7f\xff\xff\xff"
    return {
        "frames.gif": b"GIF89a\xff\xff\xff\xff\xf0\0\0"
        + bytes(range(6))
        + b",\0\0\0\0\xff\xff\xff\xff\0\x08"
        + bytes(99),
        "frames.y4m": b"YUV4MPEG2 W200000 H200000 F25:1 C420jpeg\nFRAME\n" + bytes(10_000),
        "no-frames.y4m": b"YUV4MPEG2 W0 H0 F25:1\nFRAME\n" + bytes(10_000),
        "frames.ivf": b"DKIF\0\0\x20\0VP80\xff\x3f\xff\x3f\x19\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0" + b"\xff" * 500,
        "width.mp4": patched(film, b"avc1", 24, b"\xff\xff\xff\xff"),
        "times.mp4": patched(film, b"stts", 4, b"\x80"),
        "samples.mp4": patched(film, b"stsz", 4, b"\0\0\0\1" + most),
        "chunks.mp4": patched(film, b"stco", 4, most),
        "edits.mp4": patched(film, b"elst", 4, most),
        "clock.mp4": patched(film, b"mdhd", 12, b"\0\0\0\0"),
        "duration.mp4": patched(film, b"mdhd", 16, most),
    }


async def test_bad_files_between_good_ones_fail_alone_and_with_a_reason(world: Indexing) -> None:
    films = [
        write_video(world.root / name, [20, 15], codec=codec).path
        for name, codec in (("a.mp4", "libx264"), ("b.mkv", "libvpx"), ("c.avi", "mpeg4"))
    ]
    bad = announcing_much(films[0].read_bytes())
    for film in films:
        data = film.read_bytes()
        bad |= {f"{seed}-{film.name}": damaged(data, seed) for seed in range(3)}
        bad |= {f"cut-{film.name}": truncated(data, 1), f"noise-{film.name}": data[:100] + data[:99:-1]}
    for name, data in bad.items():
        (world.root / name).write_bytes(data)
    paths = [films[0], *(world.root / name for name in bad), films[1], films[2]]
    jobs = [await world.client.index_video(str(path)) for path in paths]
    ended = [await world.end_of(job.job_id) for job in jobs]
    good = [ended[0], *ended[-2:]]
    assert [job.state for job in good] == [JobState.SUCCEEDED] * 3
    failed = [job for job in ended if job.state is not JobState.SUCCEEDED]
    assert len(failed) > len(bad) / 3
    assert [job for job in failed if not is_explained(job)] == []
    assert psutil.Process().children() == []


def is_explained(job: IndexJob) -> bool:
    name = Path(job.uri).name
    return job.state is JobState.FAILED and name in job.error and "log has the details" not in job.error


async def test_a_film_that_takes_too_much_memory_fails_with_the_limit(tmp_path: Path, embedder: ColorEmbedder) -> None:
    limits = Limits(memory_bytes=256 << 20)
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, limits=limits) as world:
        film = write_video(world.root / "film.mp4", [10, 10], size=(1920, 1080))
        job = await world.ended(film.path)
        assert job.state is JobState.FAILED
        assert "256 MiB of memory" in job.error


@pytest.mark.parametrize(
    ("blow", "reason"), [(signal.SIGSTOP, "has not gone on for 20 s"), (signal.SIGSEGV, "took the decoder down")]
)
async def test_a_decoder_that_hangs_or_crashes_fails_its_job_and_no_other(
    world: Indexing, embedder: ColorEmbedder, blow: signal.Signals, reason: str
) -> None:
    embedder.going.clear()
    film = write_video(world.root / "film.mp4", [20] * 60, size=(320, 240)).path
    other = write_video(world.root / "other.mp4", [20, 15]).path
    job = await world.client.index_video(str(film))
    await embedder.asked.wait()
    (child,) = psutil.Process().children()
    child.send_signal(blow)
    embedder.going.set()
    ended, unharmed = await asyncio.gather(world.end_of(job.job_id), world.ended(other))
    assert ended.state is JobState.FAILED
    assert reason in ended.error
    assert unharmed.state is JobState.SUCCEEDED


async def test_the_video_says_how_far_a_truncated_and_damaged_file_could_be_decoded(world: Indexing) -> None:
    path = with_header_first(write_video(world.root / "film.mp4", [100, 100, 100], fps=25).path)
    data = bytearray(path.read_bytes())
    damage = len(data) // 4
    data[damage : damage + 2000] = bytes(2000)
    path.write_bytes(truncated(bytes(data), 50))
    video = await world.store.video((await world.ended(path)).video_id)
    assert video.duration_ns == 12_000_000_000
    assert 0.4 < video.decoded_ns / video.duration_ns < 0.8
    assert video.decode_errors > 0
