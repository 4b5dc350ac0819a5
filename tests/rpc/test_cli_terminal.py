"""The command line as a process of its own: interrupted, piped, in a terminal."""

import asyncio
import json
import signal
import sys

import pytest

pytestmark = pytest.mark.usefixtures("indexer")


async def start(*args: str, **streams) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *args), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, **streams
    )


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


async def test_help_says_what_the_exit_codes_mean():
    process = await start("--help")
    stdout, _ = await process.communicate()
    assert b"Exit codes: 0 done, 1 a job or a service failed" in b" ".join(stdout.split())
