"""Jobs as those see them who work on them. A claimed job is leased, and belongs to whoever asks once the lease is over.

All methods block on the disk. Those that write of one job raise LeaseLostError, and write nothing, if it is another's.
"""

import random
import uuid
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from services.common.jobs import JobStage, JobState
from services.indexer import checkpoints
from services.indexer.checkpoints import Basis, Kept
from services.indexer.database import JOBS, Database, now
from services.indexer.jobs import AT_REST, IndexRequest, ended, request_from

LEASE_S = 30.0

FIRST_DELAY_S = 30.0
LONGEST_DELAY_S = 300.0
"""Before another attempt. Patience with peers is part of an attempt; a full spool or a failing site takes minutes."""

MAX_CRASHES = 20
"""A job that has seen so many owners go, and got nowhere, is what took them down."""


class LeaseLostError(Exception):
    """The job is another owner's by now."""


@dataclass(frozen=True, slots=True)
class Progress:
    stage: JobStage
    progress_percent: int = 0
    scene_count: int = 0
    video_id: str = ""
    decoded_ns: int = 0
    duration_ns: int | None = None
    frame_count: int = 0
    unchanged: bool = False


class Leases:
    """The jobs that one runner works on."""

    def __init__(self, database: Database, max_attempts: int) -> None:
        self._database = database
        self._max_attempts = max_attempts
        self._owner = uuid.uuid4().hex

    def recover(self) -> int:
        """End the leases of all others, for when there can be no others; returns how many there were."""
        with self._database.begin() as connection:
            return self._take_back(connection, sql.true())

    def claim(self) -> tuple[str, IndexRequest] | None:
        """Begin an attempt at the oldest job that is due, and return it."""
        with self._database.begin() as connection:
            self._take_back(connection, JOBS.c.lease_end < now())
            due = sql.or_(JOBS.c.next_attempt_time.is_(None), JOBS.c.next_attempt_time <= now())
            oldest = sql.select(JOBS.c.sequence).where(JOBS.c.state == JobState.QUEUED, due).order_by(JOBS.c.sequence)
            # SQLite has one writer at a time and ignores this; elsewhere no two owners shall see the same job.
            oldest = oldest.limit(1).with_for_update(skip_locked=True)
            changes = {"state": JobState.RUNNING, "stage": JobStage.READING, "next_attempt_time": None}
            mine = {"owner": self._owner, "lease_end": _lease_end(), "attempt_count": JOBS.c.attempt_count + 1}
            claim = JOBS.update().where(JOBS.c.sequence == oldest.scalar_subquery()).returning(JOBS)
            row = connection.execute(claim.values(**changes, **mine, update_time=now())).first()
            return (row.job_id, request_from(row.request)) if row else None

    def next_due_s(self) -> float | None:
        """Seconds until there may be something to claim; None if only a new job can change that."""
        queued = JOBS.c.state == JobState.QUEUED
        leased = sql.and_(JOBS.c.state == JobState.RUNNING, JOBS.c.owner != self._owner)
        time = sql.func.coalesce(JOBS.c.next_attempt_time, JOBS.c.lease_end)
        with self._database.begin() as connection:
            due = connection.execute(sql.select(sql.func.min(time)).where(sql.or_(queued, leased))).scalar()
        return (due - now()).total_seconds() if due else None

    def renew(self) -> set[str]:
        """Prolong all leases; returns the jobs that still are this owner's."""
        with self._database.begin() as connection:
            renewed = self._mine().values(lease_end=_lease_end()).returning(JOBS.c.job_id)
            return set(connection.execute(renewed).scalars())

    def release(self) -> None:
        """Give all jobs back; what was begun does not count as an attempt."""
        with self._database.begin() as connection:
            uncounted = {"state": JobState.QUEUED, "attempt_count": JOBS.c.attempt_count - 1}
            connection.execute(self._mine().values(**AT_REST, **uncounted, update_time=now()))

    def progress(self, job_id: str, progress: Progress) -> None:
        changes = asdict(progress)
        if not progress.video_id:
            del changes["video_id"]
        with self._database.begin() as connection:
            self._change(connection, job_id, changes)

    def asked_in(self, job_id: str) -> str:
        """The `traceparent` of the call that asked for the job, or ""."""
        with self._database.begin() as connection:
            query = sql.select(JOBS.c.traceparent).where(JOBS.c.job_id == job_id)
            return str(connection.execute(query).scalar_one())

    def kept(self, job_id: str, basis: Basis) -> Kept:
        """What earlier attempts have kept that this one can go on from."""
        with self._database.begin() as connection:
            return checkpoints.kept_of(connection, job_id, basis)

    def keep(self, job_id: str, basis: Basis, kept: Kept) -> None:
        """Keep more scenes; a job that gets on may fail as often again."""
        with self._database.begin() as connection:
            self._change(connection, job_id, {"failure_count": 0, "crash_count": 0})
            checkpoints.keep(connection, job_id, basis, kept)

    def end(self, job_id: str, state: JobState, error: str = "") -> None:
        with self._database.begin() as connection:
            self._change(connection, job_id, ended(state, error))
            if state is not JobState.FAILED:
                checkpoints.drop(connection, job_id)

    def postpone(self, job_id: str, error: str) -> JobState:
        """Queue a job again for a later attempt, or end it if this was the last one; returns its state now."""
        with self._database.begin() as connection:
            query = sql.select(JOBS.c.failure_count).where(JOBS.c.job_id == job_id)
            failures = connection.execute(query).scalar_one() + 1
            if failures >= self._max_attempts:
                self._change(connection, job_id, ended(JobState.FAILED, error))
                return JobState.FAILED
            later = {"next_attempt_time": now() + backoff(failures), "failure_count": failures}
            changes = {**AT_REST, "state": JobState.QUEUED, "error": error, **later}
            self._change(connection, job_id, changes)
            return JobState.QUEUED

    def _take_back(self, connection: Connection, condition: sql.ColumnElement[bool]) -> int:
        """Queue again what others work on, as far as the condition holds, but for jobs that take down whoever does."""
        others = sql.and_(JOBS.c.state == JobState.RUNNING, JOBS.c.owner.is_distinct_from(self._owner), condition)
        crashes = JOBS.c.crash_count + 1
        error = f"the indexer went down {MAX_CRASHES} times while it worked on this video, which may be the reason"
        update = JOBS.update()
        connection.execute(update.where(others, crashes >= MAX_CRASHES).values(ended(JobState.FAILED, error)))
        requeued = {**AT_REST, "state": JobState.QUEUED, "crash_count": crashes, "update_time": now()}
        return connection.execute(update.where(others).values(requeued)).rowcount

    def _change(self, connection: Connection, job_id: str, changes: dict[str, Any]) -> None:
        update = self._mine().where(JOBS.c.job_id == job_id).values({**changes, "update_time": now()})
        if not connection.execute(update).rowcount:
            raise LeaseLostError(job_id)

    def _mine(self) -> sql.Update:
        return JOBS.update().where(JOBS.c.owner == self._owner)


def _lease_end() -> Any:
    return now() + timedelta(seconds=LEASE_S)


def backoff(failures: int) -> timedelta:
    """Exponential backoff with jitter, as in services.common.retry but between attempts."""
    longest_s = min(FIRST_DELAY_S * 2 ** (failures - 1), LONGEST_DELAY_S)
    return timedelta(seconds=longest_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
