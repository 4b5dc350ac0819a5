"""The runner's promises to those who cancel jobs and to those who stop the service."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from services.common import retry
from services.common.errors import InvalidInputError, UnavailableError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import Detection
from services.indexer import leases as leases_module
from services.indexer import runner as runner_module
from services.indexer.database import Database
from services.indexer.jobs import UPLOAD, IndexRequest, Jobs
from services.indexer.leases import Leases, Progress
from services.indexer.passes import Attempt
from services.indexer.runner import Pipeline, Runner
from tests.stores import files_no_larger_than


class Files:
    """What the runner asks of a pipeline but for its work."""

    def __init__(self) -> None:
        self.discarded: list[str] = []
        self.retained: set[str] = set()

    def check(self, request: IndexRequest) -> None:
        pass

    def discard(self, job_id: str) -> None:
        self.discarded.append(job_id)

    def retain(self, job_ids) -> None:
        self.retained = set(job_ids)


class SlowToLeave(Files):
    """A pipeline whose jobs never end by themselves, and take a while to clean up when they are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []
        self.entered = asyncio.Event()
        self.leaving = asyncio.Event()
        self.may_leave = asyncio.Event()

    async def run(self, attempt: Attempt) -> None:
        self.started.append(attempt.request.uri)
        await attempt.report(Progress(JobStage.INDEXING))
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.leaving.set()
            await self.may_leave.wait()


class Failing(Files):
    """A pipeline that fails with each error in turn, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)

    async def run(self, attempt: Attempt) -> None:
        await attempt.report(Progress(JobStage.READING))
        if self.failures:
            raise self.failures.pop(0)


class SlowToDiscard(Files):
    """A pipeline whose jobs fail at once, and whose files take long to remove."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.may_discard = threading.Event()

    def discard(self, job_id: str) -> None:
        self.events.append("discarding")
        self.may_discard.wait()

    async def run(self, attempt: Attempt) -> None:
        self.events.append("begun")
        raise InvalidInputError("no video")


def _request(uri: str) -> IndexRequest:
    return IndexRequest(uri, "", "", {}, Detection())


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, max_queued=10)


@pytest.fixture
def runner(database: Database, jobs: Jobs) -> Callable[..., Runner]:
    """Makes runners over `jobs`."""

    def runner(pipeline: Pipeline, max_running: int = 1, history: timedelta = timedelta(days=1)) -> Runner:
        return Runner(jobs, Leases(database, max_attempts=3), pipeline, max_running, history)

    return runner


async def _end(runner: Runner, job: IndexJob) -> IndexJob:
    return [state async for state in runner.watch(job.job_id)][-1]


async def _stopped(working: asyncio.Task[None]) -> None:
    working.cancel()
    await asyncio.wait({working})


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.to_thread(time.sleep, 0.01)


def _full_disk(folder: Path) -> AbstractContextManager[None]:
    return files_no_larger_than(max(path.stat().st_size for path in folder.iterdir()))


async def test_a_cancel_in_the_middle_of_a_stop_starts_no_other_job(runner) -> None:
    pipeline = SlowToLeave()
    runner = runner(pipeline)
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


async def test_a_cancelled_job_has_ended_when_the_call_returns(runner) -> None:
    pipeline = SlowToLeave()
    pipeline.may_leave.set()
    runner = runner(pipeline)
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    await pipeline.entered.wait()
    assert (await runner.cancel(job.job_id)).state is JobState.CANCELLED
    await _stopped(working)
    assert pipeline.discarded == [job.job_id]


async def test_a_stop_gives_jobs_back_untried(jobs: Jobs, runner) -> None:
    pipeline = SlowToLeave()
    pipeline.may_leave.set()
    runner = runner(pipeline)
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    await pipeline.entered.wait()
    await _stopped(working)
    given_back = jobs.get(job.job_id)
    assert (given_back.state, given_back.attempt_count) == (JobState.QUEUED, 0)
    assert pipeline.discarded == []


async def test_a_bug_in_the_pipeline_fails_its_job_only(runner, caplog: pytest.LogCaptureFixture) -> None:
    runner = runner(Failing(ZeroDivisionError()))
    added = [await runner.add(_request(uri), "") for uri in ("/a", "/b")]
    working = asyncio.create_task(runner.run())
    ends = [await _end(runner, job) for job in added]
    assert [end.state for end in ends] == [JobState.FAILED, JobState.SUCCEEDED]
    assert ends[0].error == "internal error; the indexer's log has the details"
    assert "ZeroDivisionError" in caplog.text
    await _stopped(working)


async def test_a_failure_that_may_pass_is_tried_again_later(runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "FIRST_DELAY_S", 0.3)
    runner = runner(Failing(UnavailableError("the embedder is away"), UnavailableError("the embedder is away")))
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    states = [state async for state in runner.watch(job.job_id)]
    assert (states[-1].state, states[-1].attempt_count, states[-1].error) == (JobState.SUCCEEDED, 3, "")
    assert "the embedder is away" in {state.error for state in states if state.next_attempt_time}
    await _stopped(working)


async def test_a_failure_that_does_not_pass_fails_the_job(runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "FIRST_DELAY_S", 0.05)
    runner = runner(Failing(*[UnavailableError("the embedder is away")] * 3))
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    end = await _end(runner, job)
    assert (end.state, end.error, end.attempt_count) == (JobState.FAILED, "the embedder is away", 3)
    assert (await runner.restart(job.job_id)).state is JobState.QUEUED
    assert (await _end(runner, job)).state is JobState.SUCCEEDED
    await _stopped(working)


async def test_a_job_that_waits_for_its_next_attempt_lets_others_go_first(runner) -> None:
    runner = runner(Failing(UnavailableError("the embedder is away")))
    first, second = [await runner.add(_request(uri), "") for uri in ("/a", "/b")]
    working = asyncio.create_task(runner.run())
    assert (await _end(runner, second)).state is JobState.SUCCEEDED
    assert (await runner.cancel(first.job_id)).state is JobState.CANCELLED
    await _stopped(working)


async def test_jobs_added_at_once_keep_all_workers_busy(runner) -> None:
    pipeline = SlowToLeave()
    pipeline.may_leave.set()
    runner = runner(pipeline, max_running=3)
    working = asyncio.create_task(runner.run())
    await asyncio.gather(*(runner.add(_request(uri), "") for uri in ("/a", "/b", "/c", "/d")))
    await _until(lambda: len(pipeline.started) == 3)
    await _stopped(working)
    assert len(pipeline.started) == 3


async def test_a_job_whose_lease_is_lost_is_let_go(
    database: Database, jobs: Jobs, runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "LEASE_S", 0.3)
    pipeline = SlowToLeave()
    pipeline.may_leave.set()
    runner = runner(pipeline)
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    await pipeline.entered.wait()
    other = Leases(database, max_attempts=3)
    other.recover()  # as if the lease had run out
    assert other.claim() is not None
    await asyncio.wait_for(pipeline.leaving.wait(), 10)
    await _stopped(working)
    assert jobs.get(job.job_id).state is JobState.RUNNING
    assert other.renew() == {job.job_id}


async def test_a_full_disk_stops_the_work_only_as_long_as_it_is_full(
    runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "LONGEST_DELAY_S", 0.2)
    pipeline = SlowToLeave()
    runner = runner(pipeline)
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    await pipeline.entered.wait()
    cancelling = asyncio.create_task(runner.cancel(job.job_id))
    with _full_disk(tmp_path):
        pipeline.may_leave.set()
        await _until(lambda: "retrying" in caplog.text)
        with pytest.raises(UnavailableError, match="database"):
            await runner.add(_request("/b"), "")
    assert (await cancelling).state is JobState.CANCELLED
    assert not working.done()
    await _stopped(working)


async def test_files_are_kept_for_failed_uploads_only(runner) -> None:
    pipeline = Failing(ZeroDivisionError(), ZeroDivisionError())
    runner = runner(pipeline)
    added = [await runner.add(_request(uri), "", uri) for uri in (f"{UPLOAD}a", "/b", f"{UPLOAD}c", "/d")]
    working = asyncio.create_task(runner.run())
    for job in added:
        await _end(runner, job)
    await _until(lambda: len(pipeline.discarded) >= 3)  # the last is discarded after its watchers were told
    await _stopped(working)
    assert pipeline.discarded == [job.job_id for job in added[1:]]


async def test_an_attempt_waits_until_the_files_of_the_one_before_are_removed(jobs: Jobs, runner) -> None:
    pipeline = SlowToDiscard()
    runner = runner(pipeline, max_running=2)
    job = await runner.add(_request("/a"), "")
    working = asyncio.create_task(runner.run())
    await _until(lambda: pipeline.events == ["begun", "discarding"])
    jobs.restart(job.job_id)
    await runner.add(_request("/b"), "")
    await _until(lambda: jobs.get(job.job_id).state is JobState.RUNNING)
    await asyncio.sleep(0.1)  # is it?
    assert pipeline.events == ["begun", "discarding"]
    pipeline.may_discard.set()
    await _until(lambda: pipeline.events.count("begun") == 3)
    await _stopped(working)


async def test_a_start_forgets_old_jobs_and_the_files_of_others(jobs: Jobs, runner) -> None:
    pipeline = SlowToLeave()
    old, waiting = jobs.add(_request("/a"), "").job_id, jobs.add(_request("/b"), "").job_id
    jobs.cancel_queued(old)
    working = asyncio.create_task(runner(pipeline, history=timedelta(0)).run())
    await pipeline.entered.wait()
    await _until(lambda: bool(pipeline.discarded))  # which goes on beside the jobs
    pipeline.may_leave.set()
    await _stopped(working)
    assert pipeline.retained == {waiting}
    assert pipeline.discarded == [old]
    assert jobs.page(10, None, [JobState.CANCELLED])[0] == []
