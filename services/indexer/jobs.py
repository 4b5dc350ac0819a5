"""Jobs as those see them who ask for them. What `add` has returned survives a crash; all methods block on the disk."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Row

from services.common import tracing
from services.common.errors import InvalidInputError, NotFoundError, OverloadedError, PreconditionError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import Detection, Detector
from services.indexer import checkpoints
from services.indexer.database import DIGESTS, JOBS, Database, now

UPLOAD = "upload:"
"""What the uri of an uploaded video begins with."""

AT_REST: Mapping[str, Any] = {"stage": JobStage.WAITING, "owner": None, "lease_end": None, "next_attempt_time": None}
"""The columns of a job that nobody works on."""


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What a job was asked to do."""

    uri: str
    video_id: str
    """Empty means derived from the file's bytes."""
    title: str
    """Empty means the title that the video has already, or else the file's name."""
    metadata: Mapping[str, str]
    """Empty means those that the video has already."""
    detection: Detection
    force: bool = False
    """Index the video even if it is in the store already, unchanged."""


class Jobs:
    def __init__(self, database: Database, max_queued: int) -> None:
        self._database = database
        self._max_queued = max_queued

    def of_request(self, request: IndexRequest, request_id: str) -> IndexJob | None:
        """The job that `request_id` has started; InvalidInputError if that was for another request."""
        with self._database.begin() as connection:
            return _of_request(connection, request, request_id)

    def add(self, request: IndexRequest, request_id: str, job_id: str = "") -> IndexJob:
        """Queue a job, or return the one that `request_id` has started before."""
        with self._database.begin() as connection:
            if known := _of_request(connection, request, request_id):
                return known
            self._refuse_when_full(connection)
            job_id = job_id or uuid.uuid4().hex
            job = {"job_id": job_id, "request_id": request_id or None, "request": asdict(request)}
            job |= {"traceparent": tracing.traceparent()}
            nothing_yet = {"progress_percent": 0, "scene_count": 0, "video_id": request.video_id, "error": ""}
            times = {"create_time": now(), "update_time": now()}
            state = {"state": JobState.QUEUED, "stage": JobStage.WAITING}
            connection.execute(JOBS.insert().values(**job, **nothing_yet, **state, **times))
            return _required(connection, job_id)

    def refuse_when_full(self) -> None:
        """Raise OverloadedError if there is no place for one more job."""
        with self._database.begin() as connection:
            self._refuse_when_full(connection)

    def get(self, job_id: str) -> IndexJob:
        with self._database.begin() as connection:
            return _required(connection, job_id)

    def page(self, size: int, before: int | None, states: Sequence[JobState]) -> tuple[list[IndexJob], int | None]:
        """Jobs from the newest on, or older than `before`; and the `before` of the next page, if there is one."""
        query = JOBS.select().order_by(JOBS.c.sequence.desc()).limit(size + 1)
        if before is not None:
            query = query.where(JOBS.c.sequence < before)
        if states:
            query = query.where(JOBS.c.state.in_(states))
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        more = len(rows) > size
        return [_job(row) for row in rows[:size]], rows[size - 1].sequence if more else None

    def counts(self) -> dict[JobState, int]:
        """How many there are in each state."""
        query = sql.select(JOBS.c.state, sql.func.count()).group_by(JOBS.c.state)
        with self._database.begin() as connection:
            found: dict[str, int] = dict(connection.execute(query).tuples().all())
        return {state: found.get(state, 0) for state in JobState}

    def cancel_queued(self, job_id: str) -> IndexJob:
        """End a job that is not being worked on; PreconditionError if it is, or has ended."""
        with self._database.begin() as connection:
            job = _required(connection, job_id)
            if job.state is not JobState.QUEUED:
                now_what = "has ended already" if job.state.ended else "is in the hands of another indexer"
                raise PreconditionError(f"job {job_id} {now_what} ({job.state})")
            connection.execute(JOBS.update().where(JOBS.c.job_id == job_id).values(ended(JobState.CANCELLED)))
            checkpoints.drop(connection, job_id)
            return _required(connection, job_id)

    def restart(self, job_id: str) -> IndexJob:
        """Queue a job again that has failed or was cancelled, as if it had not been tried."""
        with self._database.begin() as connection:
            job = _required(connection, job_id)
            if job.state not in (JobState.FAILED, JobState.CANCELLED):
                raise PreconditionError(f"job {job_id} is {job.state}; only failed and cancelled ones can be restarted")
            if job.state is JobState.CANCELLED and job.uri.startswith(UPLOAD):
                raise PreconditionError(f"job {job_id} was cancelled, and its upload is gone; upload the video again")
            self._refuse_when_full(connection)
            untried = {"attempt_count": 0, "failure_count": 0, "crash_count": 0, "error": "", "end_time": None}
            changes = {"state": JobState.QUEUED, "update_time": now(), **untried}
            connection.execute(JOBS.update().where(JOBS.c.job_id == job_id).values(changes))
            return _required(connection, job_id)

    def prune(self, history: timedelta) -> list[str]:
        """Forget jobs that ended longer ago, and digests unused for as long; returns the jobs' ids."""
        with self._database.begin() as connection:
            old = JOBS.delete().where(JOBS.c.end_time < now() - history).returning(JOBS.c.job_id)
            forgotten = list(connection.execute(old).scalars())
            checkpoints.drop_orphans(connection)
            connection.execute(DIGESTS.delete().where(DIGESTS.c.use_time < now() - history))
            return forgotten

    def with_files(self) -> set[str]:
        """Ids of the jobs whose uploads and downloads are still of use."""
        to_do = JOBS.c.state.in_((JobState.QUEUED, JobState.RUNNING))
        upload = JOBS.c.request["uri"].as_string().startswith(UPLOAD)
        query = sql.select(JOBS.c.job_id).where(to_do | (JOBS.c.state == JobState.FAILED) & upload)
        with self._database.begin() as connection:
            return set(connection.execute(query).scalars())

    def _refuse_when_full(self, connection: Connection) -> None:
        waiting = sql.select(sql.func.count()).select_from(JOBS).where(JOBS.c.state == JobState.QUEUED)
        if connection.execute(waiting).scalar_one() >= self._max_queued:
            raise OverloadedError(f"{self._max_queued} jobs are waiting already; retry when some have ended")


def ended(state: JobState, error: str = "") -> dict[str, Any]:
    """The columns of a job that ends now."""
    changes: dict[str, Any] = {"state": state, "error": error, "end_time": now(), "update_time": now(), **AT_REST}
    return {**changes, "progress_percent": 100} if state is JobState.SUCCEEDED else changes


def request_from(values: dict[str, Any]) -> IndexRequest:
    """A request as the database has it."""
    detection = {**values["detection"], "detector": Detector(values["detection"]["detector"])}
    return IndexRequest(**{**values, "detection": Detection(**detection)})


def _of_request(connection: Connection, request: IndexRequest, request_id: str) -> IndexJob | None:
    row = _row(connection, JOBS.c.request_id == request_id) if request_id else None
    if row and request_from(row.request) != request:
        raise InvalidInputError(f"request_id {request_id!r} was used for another request; choose a new one")
    return _job(row) if row else None


def _required(connection: Connection, job_id: str) -> IndexJob:
    row = _row(connection, JOBS.c.job_id == job_id)
    if row is None:
        raise NotFoundError(f"no job {job_id!r}; ListIndexJobs has those that there are")
    return _job(row)


def _row(connection: Connection, condition: sql.ColumnElement[bool]) -> Row[Any] | None:
    return connection.execute(JOBS.select().where(condition)).first()


def _job(row: Row[Any]) -> IndexJob:
    values = {field.name: getattr(row, field.name, None) for field in fields(IndexJob)}
    times = {name: value.replace(tzinfo=UTC) for name, value in values.items() if isinstance(value, datetime)}
    kinds = {"uri": row.request["uri"], "state": JobState(row.state), "stage": JobStage(row.stage)}
    return IndexJob(**{**values, **times, **kinds})
