"""The decoder's process: what it may do, and what is said when it ends in another way than it should."""

import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from services.common.errors import InvalidInputError
from services.common.media import Detection
from services.indexer.analysis import Decoded, Event, Task
from services.indexer.child import LONGEST_MESSAGE_BYTES, analyze
from services.indexer.limits import Limits
from services.indexer.messages import LENGTH, encode
from tests.videos import write_video

TINY = 256 << 20
"""Bytes of memory that are too few for a full HD film, whatever the machine."""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Of a film that takes long enough to be looked at while it is decoded."""
    film = write_video(tmp_path_factory.mktemp("films") / "film.mp4", [20] * 60, size=(320, 240))
    return Task(film.path, Detection(), 64)


async def drained(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


def only_child() -> psutil.Process:
    (child,) = psutil.Process().children()
    return child


async def test_a_child_tells_all_events_and_ends(task: Task) -> None:
    async with analyze(task) as events:
        assert isinstance((await drained(events))[-1], Decoded)
    assert psutil.Process().children() == []


async def test_a_child_ends_with_its_reader(task: Task) -> None:
    async with analyze(task) as events:
        await anext(events)
        child = only_child()
    assert not child.is_running()


async def test_a_child_that_hangs_is_given_up(task: Task) -> None:
    async with analyze(Task(task.path, Detection(), 64, Limits(silence_s=10.0))) as events:
        await anext(events)
        child = only_child()
        child.suspend()
        with pytest.raises(InvalidInputError, match="has not gone on for 10 s"):
            await drained(events)
    assert not child.is_running()


async def test_a_child_is_confined(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with analyze(task) as events:
        await anext(events)
        child = only_child()
        process = Path("/proc") / str(child.pid)
        assert "secret" not in child.environ().values()
        assert (process / "fd" / "0").readlink() == Path("/dev/null")
        assert (process / "oom_score_adj").read_text() == "1000\n"
        assert child.rlimit(resource.RLIMIT_DATA) == (4 << 30, 4 << 30)
        assert child.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert os.getsid(child.pid) == child.pid


async def test_a_film_that_takes_too_much_memory_is_refused_with_the_limit(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [10, 10], size=(1920, 1080))
    async with analyze(Task(film.path, Detection(), 64, Limits(memory_bytes=TINY))) as events:
        with pytest.raises(InvalidInputError, match="more than the 256 MiB of memory that are allowed"):
            await drained(events)


async def test_a_child_that_the_kernel_kills_ran_out_of_memory(task: Task) -> None:
    async with analyze(task) as events:
        await anext(events)
        only_child().kill()
        with pytest.raises(InvalidInputError, match=r"more than the 4096 MiB of memory .*\(Killed\)"):
            await drained(events)


async def test_a_crash_is_told_to_the_caller_and_explained_in_the_log(
    task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    async with analyze(task) as events:
        await anext(events)
        only_child().send_signal(signal.SIGSEGV)
        with pytest.raises(InvalidInputError, match=r"took the decoder down \(Segmentation fault\)"):
            await drained(events)
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert (record.message, record.file) == ("decoder died", str(task.path))
    assert "services/indexer/decoder.py" in record.last_words


@pytest.mark.parametrize(
    "said",
    [b"cos\nsystem\n(S'true'\ntR.", LENGTH.pack(3) + b"abc", LENGTH.pack(LONGEST_MESSAGE_BYTES + 1)],
    ids=["pickle", "garbage", "too long"],
)
async def test_a_decoder_that_was_taken_over_cannot_harm_the_indexer(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    (tmp_path / "said").write_bytes(said)
    monkeypatch.setattr(sys, "executable", script(tmp_path, f"cat {tmp_path}/said; exec sleep 60"))
    async with analyze(task) as events:
        with pytest.raises(InvalidInputError, match="nonsense"):
            await drained(events)


async def test_a_child_that_says_no_more_and_lives_on_is_given_up(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", script(tmp_path, "exec >&-; exec sleep 60"))
    async with analyze(Task(task.path, Detection(), 64, Limits(silence_s=1.0))) as events:
        with pytest.raises(InvalidInputError, match="has not gone on for 1 s"):
            await drained(events)


def script(folder: Path, commands: str) -> str:
    path = folder / "decoder"
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return str(path)


PARENT = """
import asyncio, psutil, sys
from services.indexer.analysis import Task
from services.indexer.child import analyze
from services.indexer.messages import decode

async def main():
    async with analyze(decode([Task], sys.argv[1].encode())) as events:
        await anext(events)
        (child,) = psutil.Process().children()
        child.suspend()
        print(child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_child_that_hangs_dies_with_its_killed_parent(task: Task) -> None:
    arguments = [sys.executable, "-c", PARENT, b"".join(encode(task))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(10)


def test_a_child_whose_parent_was_killed_before_it_started_says_nothing(task: Task) -> None:
    elsewhere = str(os.getppid())
    arguments = [sys.executable, "-m", "services.indexer.decoder", b"".join(encode(task)), elsewhere]
    ended = subprocess.run(arguments, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")
