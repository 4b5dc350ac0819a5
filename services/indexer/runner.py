"""Runs queued jobs, a bounded number at a time, and tells watchers of each change."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, TypeVar

from services.common import call, tracing
from services.common.errors import (
    TRANSIENT,
    ForbiddenError,
    InvalidInputError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
    VideosearchError,
)
from services.common.jobs import IndexJob, JobState
from services.common.retry import patiently
from services.indexer import metrics
from services.indexer.checkpoints import Basis, Kept
from services.indexer.jobs import UPLOAD, IndexRequest, Jobs
from services.indexer.leases import LEASE_S, LeaseLostError, Leases, Progress
from services.indexer.passes import Attempt

log = logging.getLogger(__name__)

T = TypeVar("T")

REFUSED = (UnauthenticatedError, ForbiddenError)
"""By a peer, for the indexer's own token: it meets all jobs, until tokens are put right, and is no job's fault."""

PRUNE_INTERVAL_S = 3600.0


class Pipeline(Protocol):
    def check(self, request: IndexRequest) -> None: ...

    def discard(self, job_id: str) -> None: ...

    def retain(self, job_ids: Collection[str]) -> None: ...

    async def run(self, attempt: Attempt) -> None: ...


class Runner:
    def __init__(self, jobs: Jobs, leases: Leases, pipeline: Pipeline, max_running: int, history: timedelta) -> None:
        self._jobs = jobs
        self._leases = leases
        self._pipeline = pipeline
        self._max_running = max_running
        self._history = history
        self._running: dict[str, _Running] = {}
        self._claiming = asyncio.Lock()
        """Held while a job goes from the database into `_running`, or is ended because it is in neither hands."""
        self._wake = asyncio.Event()
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._stopping = False

    async def run(self) -> None:
        """Work until cancelled. What is running then is given back."""
        recovered = await _persistently(self._leases.recover)
        log.info("jobs recovered", extra={"count": recovered})
        await asyncio.to_thread(self._pipeline.retain, await _persistently(self._jobs.with_files))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._max_running):
                    tasks.create_task(self._work())
                tasks.create_task(self._prune())
                await self._renew()
        finally:
            with suppress(*TRANSIENT):  # the leases run out by themselves
                await asyncio.to_thread(self._leases.release)
            for job_id in self._watchers:
                self._tell(job_id)

    async def add(self, request: IndexRequest, request_id: str, upload_id: str = "") -> IndexJob:
        """Queue a job, once its source has passed; a repeated `request_id` is answered whatever became of the file.

        With an upload id, the job gets that one, and its source is at hand already.
        """
        job = await asyncio.to_thread(self._jobs.of_request, request, request_id)
        if job is None:
            if not upload_id:
                await asyncio.to_thread(self._pipeline.check, request)
            job = await asyncio.to_thread(self._jobs.add, request, request_id, upload_id)
        self._wake.set()
        return job

    async def restart(self, job_id: str) -> IndexJob:
        """See Jobs.restart."""
        job = await asyncio.to_thread(self._jobs.restart, job_id)
        self._wake.set()
        return job

    async def cancel(self, job_id: str) -> IndexJob:
        """End a job before its video is in the store; PreconditionError if it has ended or the video is."""
        while not self._stopping:
            async with self._claiming:
                running = self._running.get(job_id)
                if running is None:
                    return await self._cancel_queued(job_id)
            if not running.task.cancelling():  # once, or it would not see out what it is about to end
                running.task.cancel()
            await running.ended.wait()
            job = await asyncio.to_thread(self._jobs.get, job_id)
            if job.state is JobState.SUCCEEDED:
                raise PreconditionError(f"the video of job {job_id} was in the store before it could be cancelled")
            if job.state.ended:
                return job
            # Its attempt failed in this very moment, and now it waits for the next one.
        raise _stopping()

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

    async def _cancel_queued(self, job_id: str) -> IndexJob:
        job = await asyncio.to_thread(self._jobs.cancel_queued, job_id)
        await asyncio.to_thread(self._pipeline.discard, job_id)
        self._tell(job_id)
        return job

    async def _renew(self) -> None:
        try:
            while True:
                await asyncio.sleep(LEASE_S / 3)
                running = dict(self._running)
                held = await _persistently(self._leases.renew)
                for job_id in running.keys() - held:
                    running[job_id].task.cancel()
        finally:
            self._stopping = True

    async def _prune(self) -> None:
        while True:
            for job_id in await _persistently(lambda: self._jobs.prune(self._history)):
                await asyncio.to_thread(self._pipeline.discard, job_id)
            await asyncio.sleep(PRUNE_INTERVAL_S)

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            running = await patiently(self._claim, math.inf)
            if running:
                self._wake.set()  # there may be more for the other workers
                await self._see_through(running)
            else:
                due_s = await _persistently(self._leases.next_due_s)
                with suppress(TimeoutError):
                    async with asyncio.timeout(due_s):
                        await self._wake.wait()

    async def _claim(self) -> "_Running | None":
        async with self._claiming:
            claimed = await asyncio.to_thread(self._leases.claim)
            if claimed is None:
                return None
            attempt = _Attempt(*claimed, self._leases, self._tell)
            if before := self._running.get(attempt.job_id):
                await before.ended.wait()  # its files are being removed
            call.begin(request_id=attempt.job_id)
            running = _Running(attempt, asyncio.create_task(self._tried(attempt)))
            self._running[attempt.job_id] = running
            return running

    async def _tried(self, attempt: "_Attempt") -> None:
        """An attempt is a trace of its own: it may come long after the call that asked for it, and again."""
        asked_in = await asyncio.to_thread(self._leases.asked_in, attempt.job_id)
        with tracing.root("index job", {"videosearch.job_id": attempt.job_id}, asked_in):
            await self._pipeline.run(attempt)

    async def _see_through(self, running: "_Running") -> None:
        """Wait for the end of an attempt and write it down, unless the service stops meanwhile or the lease is lost."""
        job_id = running.attempt.job_id
        try:
            (failure,) = await asyncio.gather(running.task, return_exceptions=True)
            state, error = await self._outcome(job_id, failure)
            upload = running.attempt.request.uri.startswith(UPLOAD)
            may_be_restarted = state is JobState.FAILED and not isinstance(failure, InvalidInputError)
            if state.ended and not (upload and may_be_restarted):
                await asyncio.to_thread(self._pipeline.discard, job_id)
        except LeaseLostError:
            log.warning("job taken over by another indexer", extra={"job_id": job_id})
            return
        finally:
            del self._running[job_id]
            running.ended.set()
        metrics.ATTEMPTS.labels(state if state.ended else "postponed").inc()
        log.info("attempt ended", extra={"job_id": job_id, "state": state, "error": error})
        self._tell(job_id)

    async def _outcome(self, job_id: str, failure: BaseException | None) -> tuple[JobState, str]:
        """The job's state after an attempt, now in the database too."""
        state, error = JobState.FAILED, str(failure)
        match failure:
            case None:
                state, error = JobState.SUCCEEDED, ""
            case asyncio.CancelledError():
                state, error = JobState.CANCELLED, ""
            case LeaseLostError():
                raise failure
            case VideosearchError() if isinstance(failure, (*TRANSIENT, *REFUSED)):
                if isinstance(failure, REFUSED):
                    error = f"the indexer itself is refused by {failure}"
                return await _persistently(lambda: self._leases.postpone(job_id, error)), error
            case VideosearchError():
                pass
            case _:  # a job that meets a bug must not take the service down
                log.error("job met an unexpected failure", exc_info=failure, extra={"job_id": job_id})
                error = "internal error; the indexer's log has the details"
        await _persistently(lambda: self._leases.end(job_id, state, error))
        return state, error

    def _tell(self, job_id: str) -> None:
        for changed in self._watchers.get(job_id, ()):
            changed.set()


class _Attempt:
    """What the pipeline does at a job, and writes down of it."""

    def __init__(self, job_id: str, request: IndexRequest, leases: Leases, tell: Callable[[str], None]) -> None:
        self.job_id = job_id
        self.request = request
        self._leases = leases
        self._tell = tell

    async def report(self, progress: Progress) -> None:
        await asyncio.to_thread(self._leases.progress, self.job_id, progress)
        self._tell(self.job_id)

    async def kept(self, basis: Basis) -> Kept:
        return await asyncio.to_thread(self._leases.kept, self.job_id, basis)

    async def keep(self, basis: Basis, kept: Kept) -> None:
        await asyncio.to_thread(self._leases.keep, self.job_id, basis, kept)


@dataclass(frozen=True, slots=True)
class _Running:
    attempt: _Attempt
    task: asyncio.Task[None]
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def _persistently(work: Callable[[], T]) -> T:
    """Do what blocks on the database, however long that is out of order: a full disk must not end the service."""
    return await patiently(lambda: asyncio.to_thread(work), math.inf)


def _stopping() -> UnavailableError:
    return UnavailableError("the indexer is stopping; its jobs go on when it is back: try again then")
