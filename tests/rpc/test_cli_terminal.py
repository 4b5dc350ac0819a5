"""The command line as a process of its own: interrupted, piped, in a terminal."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("indexer")


async def start(*args: str, **streams) -> asyncio.subprocess.Process:
    piped = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    return await asyncio.create_subprocess_exec(*(sys.executable, "-m", "cli", *args), **piped | streams)


async def test_ctrl_c_leaves_the_jobs_running_and_tells_how_to_go_on(indexer):
    process = await start("index", "/videos/endless.mp4", "/videos/endless-too.mp4")
    seen = []
    try:
        async with asyncio.timeout(60):
            async for line in process.stderr:
                seen.append(line)
                if line == b"endless-too.mp4: indexing, 2 scenes\n":
                    break
            process.send_signal(signal.SIGINT)
            _, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        pytest.fail(f"the command line did not go on after {seen}")
    assert process.returncode == 130
    assert b"videosearch jobs watch job-0 job-1\n" in stderr
    assert b"videosearch jobs cancel job-0 job-1\n" in stderr
    assert b"Traceback" not in stderr
    assert {job.state for job in indexer.jobs.values()} == {"running"}


async def test_only_data_goes_to_stdout():
    process = await start("index", "/videos/a.mp4", "/videos/fail.mp4", "--json")
    stdout, _ = await process.communicate()
    assert [job["state"] for job in json.loads(stdout)] == ["succeeded", "failed"]


@pytest.fixture
def full():
    """Where nothing can be written."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with Path("/dev/full").open("w") as file:
        yield file


@pytest.mark.parametrize("unbuffered", ["1", ""])
async def test_output_that_finds_no_room_is_told_in_one_line(full, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    process = await start("jobs", "list", "--json", stdout=full)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr.count(b"\n")) == (4, 1)
    assert stderr.startswith(b"videosearch: the output cannot be written: ")


@pytest.mark.parametrize("unbuffered", ["1", ""])
async def test_a_reader_that_has_gone_is_no_reason_to_complain(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reading, writing = os.pipe()
    os.close(reading)
    process = await start("jobs", "list", "--json", stdout=writing)
    os.close(writing)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (1, b"")


async def test_help_says_what_the_exit_codes_mean():
    process = await start("--help")
    stdout, _ = await process.communicate()
    assert b"Exit codes: 0 done, 1 a job or a service failed" in b" ".join(stdout.split())
