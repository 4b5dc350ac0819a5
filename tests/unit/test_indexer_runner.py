"""The runner's promises to those who cancel jobs and to those who stop the service."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.errors import UnavailableError
from services.common.jobs import JobStage, JobState
from services.common.media import Detection
from services.indexer.jobs import IndexRequest, Jobs, Progress
from services.indexer.pipeline import Report
from services.indexer.runner import Runner


class SlowToLeave:
    """A pipeline whose jobs never end by themselves, and take a while to clean up when they are cancelled."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.entered = asyncio.Event()
        self.leaving = asyncio.Event()
        self.may_leave = asyncio.Event()

    def check(self, request: IndexRequest) -> None:
        pass

    async def run(self, request: IndexRequest, report: Report) -> None:
        self.started.append(request.uri)
        await report(Progress(JobStage.INDEXING))
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.leaving.set()
            await self.may_leave.wait()


def _request(uri: str) -> IndexRequest:
    return IndexRequest(uri, "", "", {}, Detection())


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    jobs = Jobs(tmp_path, max_queued=10)
    yield jobs
    jobs.close()


async def test_a_cancel_in_the_middle_of_a_stop_starts_no_other_job(jobs: Jobs) -> None:
    pipeline = SlowToLeave()
    runner = Runner(jobs, pipeline, max_running=1)
    first = await runner.add(_request("/a"), "")
    await runner.add(_request("/b"), "")
    working = asyncio.create_task(runner.run())
    await pipeline.entered.wait()
    cancelling = asyncio.create_task(runner.cancel(first.job_id))
    await pipeline.leaving.wait()
    working.cancel()
    pipeline.may_leave.set()
    await asyncio.wait({working, cancelling}, timeout=10)
    assert working.cancelled()
    with pytest.raises(UnavailableError, match="its jobs go on"):
        await cancelling
    assert pipeline.started == ["/a"]


async def test_a_cancelled_job_has_ended_when_the_call_returns(jobs: Jobs) -> None:
    pipeline = SlowToLeave()
    pipeline.may_leave.set()
    runner = Runner(jobs, pipeline, max_running=1)
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    await pipeline.entered.wait()
    assert (await runner.cancel(job.job_id)).state is JobState.CANCELLED
    working.cancel()
    await asyncio.wait({working})


async def test_a_bug_in_the_pipeline_fails_its_job_only(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(SlowToLeave):
        async def run(self, request: IndexRequest, report: Report) -> None:
            if request.uri == "/a":
                raise ZeroDivisionError
            await report(Progress(JobStage.STORING))

    runner = Runner(jobs, Buggy(), max_running=1)
    added = [await runner.add(_request(uri), "") for uri in ("/a", "/b")]
    working = asyncio.create_task(runner.run())
    ends = [[state async for state in runner.watch(job.job_id)][-1] for job in added]
    assert [end.state for end in ends] == [JobState.FAILED, JobState.SUCCEEDED]
    assert ends[0].error == "internal error; the indexer's log has the details"
    assert "ZeroDivisionError" in caplog.text
    working.cancel()
    await asyncio.wait({working})
