"""Runs queued jobs, a bounded number at a time, and tells watchers of each change."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from services.common import call
from services.common.errors import PreconditionError, UnavailableError, VideosearchError
from services.common.jobs import IndexJob, JobStage, JobState
from services.indexer.jobs import IndexRequest, Jobs, Progress
from services.indexer.pipeline import Report

log = logging.getLogger(__name__)


class Pipeline(Protocol):
    def check(self, request: IndexRequest) -> None: ...

    async def run(self, request: IndexRequest, report: Report) -> None: ...


class Runner:
    def __init__(self, jobs: Jobs, pipeline: Pipeline, max_running: int) -> None:
        self._jobs = jobs
        self._pipeline = pipeline
        self._max_running = max_running
        self._running: dict[str, _Running] = {}
        self._changed = asyncio.Condition()
        self._changes = 0
        self._stopping = False

    async def run(self) -> None:
        """Work until cancelled. What is running then is queued again at the next start."""
        requeued = await asyncio.to_thread(self._jobs.requeue_running)
        log.info("jobs resumed", extra={"requeued": requeued})
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._max_running):
                    workers.create_task(self._work())
        finally:
            self._stopping = True
            await self._tell()

    async def add(self, request: IndexRequest, request_id: str) -> IndexJob:
        """Queue a job, once its source has passed; a repeated `request_id` is answered whatever became of the file."""
        job = await asyncio.to_thread(self._jobs.of_request, request, request_id)
        if job is None:
            await asyncio.to_thread(self._pipeline.check, request)
            job = await asyncio.to_thread(self._jobs.add, request, request_id)
        await self._tell()
        return job

    async def cancel(self, job_id: str) -> IndexJob:
        """End a job before it reaches the store; PreconditionError if it has ended or is being stored."""
        while job_id not in self._running:
            changes = self._changes
            job = await asyncio.to_thread(self._jobs.cancel_queued, job_id)
            if job:
                await self._tell()
                return job
            self._refuse_when_stopping()
            await self._next_change(changes)  # it has been claimed this moment; its first report is a change
        self._running[job_id].cancel()
        async with self._changed:
            await self._changed.wait_for(lambda: job_id not in self._running)
        return await asyncio.to_thread(self._jobs.get, job_id)

    async def watch(self, job_id: str) -> AsyncIterator[IndexJob]:
        """The job as it is, then at each change, until it has ended."""
        seen: IndexJob | None = None
        while seen is None or not seen.state.ended:
            changes = self._changes
            job = await asyncio.to_thread(self._jobs.get, job_id)
            if job != seen:
                yield job
                seen = job
            else:
                self._refuse_when_stopping()
                await self._next_change(changes)

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise UnavailableError("the indexer is stopping; its jobs go on when it is back: try again then")

    async def _work(self) -> None:
        while True:
            changes = self._changes
            claimed = await asyncio.to_thread(self._jobs.claim)
            if claimed:
                await self._run_job(*claimed)
            else:
                await self._next_change(changes)

    async def _run_job(self, job_id: str, request: IndexRequest) -> None:
        call.begin(request_id=job_id)
        running = _Running(asyncio.create_task(self._pipeline.run(request, self._reporter(job_id))))
        self._running[job_id] = running
        try:
            state, error = await self._outcome(job_id, running)
            await asyncio.to_thread(self._jobs.end, job_id, state, error)
        finally:
            del self._running[job_id]
        log.info("job ended", extra={"job_id": job_id, "state": state, "error": error, "uri": request.uri})
        await self._tell()

    async def _outcome(self, job_id: str, running: "_Running") -> tuple[JobState, str]:
        try:
            await running.task
        except asyncio.CancelledError:
            if not running.cancelled:
                raise  # the service stops
            return JobState.CANCELLED, ""
        except VideosearchError as failure:
            return JobState.FAILED, str(failure)
        except Exception:  # a job that meets a bug must not take the service down
            log.exception("job met an unexpected failure", extra={"job_id": job_id})
            return JobState.FAILED, "internal error; the indexer's log has the details"
        return JobState.SUCCEEDED, ""

    def _reporter(self, job_id: str) -> Report:
        async def report(progress: Progress) -> None:
            self._running[job_id].stage = progress.stage
            await asyncio.to_thread(self._jobs.progress, job_id, progress)
            await self._tell()

        return report

    async def _tell(self) -> None:
        async with self._changed:
            self._changes += 1
            self._changed.notify_all()

    async def _next_change(self, changes: int) -> None:
        """Return once there have been more than `changes` changes."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._changes > changes)


@dataclass(slots=True)
class _Running:
    """A job at work."""

    task: asyncio.Task[None]
    stage: JobStage = JobStage.READING
    cancelled: bool = False

    def cancel(self) -> None:
        """Cancel the job; PreconditionError once it is being stored, when it could no longer leave nothing behind."""
        if self.stage is JobStage.STORING:
            raise PreconditionError("the job is being stored and about to end; delete the video instead")
        self.cancelled = True
        self.task.cancel()
