"""Runs queued jobs, a bounded number at a time, and tells watchers of each change."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
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
        self._queued = asyncio.Event()
        self._watchers: dict[str, set[asyncio.Event]] = {}
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
            for job_id in self._watchers:
                self._tell(job_id)

    async def add(self, request: IndexRequest, request_id: str) -> IndexJob:
        """Queue a job, once its source has passed; a repeated `request_id` is answered whatever became of the file."""
        job = await asyncio.to_thread(self._jobs.of_request, request, request_id)
        if job is None:
            await asyncio.to_thread(self._pipeline.check, request)
            job = await asyncio.to_thread(self._jobs.add, request, request_id)
        self._queued.set()
        return job

    async def cancel(self, job_id: str) -> IndexJob:
        """End a job before it reaches the store; PreconditionError if it has ended or is being stored."""
        while job_id not in self._running:
            job = await asyncio.to_thread(self._jobs.cancel_queued, job_id)
            if job:
                self._tell(job_id)
                return job
            if self._stopping:
                raise _stopping()
            await asyncio.sleep(0.01)  # a worker has claimed it this moment, and is about to say so
        running = self._running[job_id]
        running.cancel()
        await running.ended.wait()
        job = await asyncio.to_thread(self._jobs.get, job_id)
        if not job.state.ended:
            raise _stopping()
        return job

    async def watch(self, job_id: str) -> AsyncIterator[IndexJob]:
        """The job as it is, then at each change, until it has ended."""
        changed = asyncio.Event()
        self._watchers.setdefault(job_id, set()).add(changed)
        try:
            while True:
                changed.clear()
                job = await asyncio.to_thread(self._jobs.get, job_id)
                yield job
                if job.state.ended:
                    return
                if self._stopping:
                    raise _stopping()
                await changed.wait()
        finally:
            self._watchers[job_id].remove(changed)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    async def _work(self) -> None:
        while True:
            self._queued.clear()
            claimed = await asyncio.to_thread(self._jobs.claim)
            if claimed:
                await self._run_job(*claimed)
            else:
                await self._queued.wait()

    async def _run_job(self, job_id: str, request: IndexRequest) -> None:
        call.begin(request_id=job_id)
        running = _Running(asyncio.create_task(self._pipeline.run(request, self._reporter(job_id))))
        self._running[job_id] = running
        try:
            state, error = await self._outcome(job_id, running)
            await asyncio.to_thread(self._jobs.end, job_id, state, error)
        finally:
            del self._running[job_id]
            running.ended.set()
        log.info("job ended", extra={"job_id": job_id, "state": state, "error": error, "uri": request.uri})
        self._tell(job_id)

    async def _outcome(self, job_id: str, running: "_Running") -> tuple[JobState, str]:
        """How the job has ended; CancelledError if that is because the service stops, and the job has not ended."""
        failures = await asyncio.gather(running.task, return_exceptions=True)
        match failures[0]:
            case None:
                return JobState.SUCCEEDED, ""
            case asyncio.CancelledError():
                return JobState.CANCELLED, ""
            case VideosearchError() as failure:
                return JobState.FAILED, str(failure)
            case failure:  # a job that meets a bug must not take the service down
                log.error("job met an unexpected failure", exc_info=failure, extra={"job_id": job_id})
                return JobState.FAILED, "internal error; the indexer's log has the details"

    def _reporter(self, job_id: str) -> Report:
        async def report(progress: Progress) -> None:
            self._running[job_id].stage = progress.stage
            await asyncio.to_thread(self._jobs.progress, job_id, progress)
            self._tell(job_id)

        return report

    def _tell(self, job_id: str) -> None:
        for changed in self._watchers.get(job_id, ()):
            changed.set()


def _stopping() -> UnavailableError:
    return UnavailableError("the indexer is stopping; its jobs go on when it is back: try again then")


@dataclass(slots=True)
class _Running:
    """A job at work."""

    task: asyncio.Task[None]
    stage: JobStage = JobStage.READING
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def cancel(self) -> None:
        """Cancel the job; PreconditionError once it is being stored, when it could no longer leave nothing behind."""
        if self.stage is JobStage.STORING:
            raise PreconditionError(
                "the job is being stored and can no longer be cancelled; should the store be away, it fails by itself"
            )
        self.task.cancel()
