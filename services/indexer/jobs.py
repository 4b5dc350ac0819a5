"""Jobs in SQL. What `add` has returned survives a crash of the service; all methods block on the disk."""

import fcntl
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Row

from services.common.errors import InvalidInputError, NotFoundError, OverloadedError, PreconditionError, StartupError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import Detection, Detector

_METADATA = sql.MetaData()

_JOBS = sql.Table(
    "jobs",
    _METADATA,
    sql.Column("sequence", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("job_id", sql.String, nullable=False, unique=True),
    sql.Column("request_id", sql.String, unique=True),
    sql.Column("request", sql.JSON, nullable=False),
    sql.Column("state", sql.String, nullable=False, index=True),
    sql.Column("stage", sql.String, nullable=False),
    sql.Column("progress_percent", sql.Integer, nullable=False),
    sql.Column("scene_count", sql.Integer, nullable=False),
    sql.Column("video_id", sql.String, nullable=False),
    sql.Column("error", sql.String, nullable=False),
    sql.Column("create_time", sql.DateTime, nullable=False),
    sql.Column("update_time", sql.DateTime, nullable=False),
    sql.Column("end_time", sql.DateTime),
)


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What a job was asked to do."""

    uri: str
    video_id: str
    """Empty means derived from the file's bytes."""
    title: str
    """Empty means the file's name."""
    metadata: Mapping[str, str]
    detection: Detection


@dataclass(frozen=True, slots=True)
class Progress:
    stage: JobStage
    percent: int = 0
    scene_count: int = 0
    video_id: str = ""


class Jobs:
    def __init__(self, folder: Path, max_queued: int) -> None:
        self._max_queued = max_queued
        self._lock = _locked(folder)
        # One connection: transactions follow each other instead of failing on a locked database.
        self._engine = sql.create_engine(f"sqlite:///{folder / 'jobs.sqlite'}", pool_size=1, max_overflow=0)
        sql.event.listen(self._engine, "connect", _make_durable)
        try:
            _METADATA.create_all(self._engine)
        except sql.exc.DatabaseError as error:
            self.close()
            reason = str(error).splitlines()[0]
            raise StartupError(f"the jobs in data folder {folder} cannot be opened: {reason}") from None

    def close(self) -> None:
        self._engine.dispose()
        self._lock.close()

    def of_request(self, request: IndexRequest, request_id: str) -> IndexJob | None:
        """The job that `request_id` has started; InvalidInputError if that was for another request."""
        with self._engine.connect() as connection:
            return _of_request(connection, _values(request), request_id)

    def add(self, request: IndexRequest, request_id: str) -> IndexJob:
        """Queue a job, or return the one that `request_id` has started before."""
        values = _values(request)
        with self._engine.begin() as connection:
            if known := _of_request(connection, values, request_id):
                return known
            self._refuse_when_full(connection)
            now = _now()
            job = {"job_id": uuid.uuid4().hex, "request_id": request_id or None, "request": values}
            nothing_yet = {"progress_percent": 0, "scene_count": 0, "video_id": request.video_id, "error": ""}
            state = {"state": JobState.QUEUED, "stage": JobStage.WAITING, "create_time": now, "update_time": now}
            connection.execute(_JOBS.insert().values(**job, **nothing_yet, **state))
            return _required(connection, job["job_id"])

    def get(self, job_id: str) -> IndexJob:
        with self._engine.connect() as connection:
            return _required(connection, job_id)

    def page(self, size: int, before: int | None, states: Sequence[JobState]) -> tuple[list[IndexJob], int | None]:
        """Jobs from the newest on, or older than `before`; and the `before` of the next page, if there is one."""
        query = _JOBS.select().order_by(_JOBS.c.sequence.desc()).limit(size + 1)
        if before is not None:
            query = query.where(_JOBS.c.sequence < before)
        if states:
            query = query.where(_JOBS.c.state.in_(states))
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        more = len(rows) > size
        return [_job(row) for row in rows[:size]], rows[size - 1].sequence if more else None

    def requeue_running(self) -> int:
        """Queue again what was running when the service went down; returns how many."""
        changes = {"state": JobState.QUEUED, "stage": JobStage.WAITING, "progress_percent": 0, "update_time": _now()}
        with self._engine.begin() as connection:
            update = _JOBS.update().where(_JOBS.c.state == JobState.RUNNING).values(**changes)
            return connection.execute(update).rowcount

    def claim(self) -> tuple[str, IndexRequest] | None:
        """Set the oldest queued job running and return it."""
        with self._engine.begin() as connection:
            oldest = (
                sql.select(sql.func.min(_JOBS.c.sequence)).where(_JOBS.c.state == JobState.QUEUED).scalar_subquery()
            )
            changes = {"state": JobState.RUNNING, "stage": JobStage.READING, "update_time": _now()}
            claim = _JOBS.update().where(_JOBS.c.sequence == oldest).values(**changes).returning(_JOBS)
            row = connection.execute(claim).first()
            return (row.job_id, _request(row.request)) if row else None

    def progress(self, job_id: str, progress: Progress) -> None:
        changes = {"stage": progress.stage, "progress_percent": progress.percent, "scene_count": progress.scene_count}
        if progress.video_id:
            changes["video_id"] = progress.video_id
        with self._engine.begin() as connection:
            connection.execute(_JOBS.update().where(_JOBS.c.job_id == job_id).values(update_time=_now(), **changes))

    def cancel_queued(self, job_id: str) -> IndexJob | None:
        """End a job that has not started; None if it is running, PreconditionError if it has ended."""
        with self._engine.begin() as connection:
            job = _required(connection, job_id)
            if job.state.ended:
                raise PreconditionError(f"job {job_id} has ended already ({job.state})")
            return None if job.state is JobState.RUNNING else _end(connection, job_id, JobState.CANCELLED, "")

    def end(self, job_id: str, state: JobState, error: str = "") -> None:
        with self._engine.begin() as connection:
            _end(connection, job_id, state, error)

    def _refuse_when_full(self, connection: Connection) -> None:
        waiting = sql.select(sql.func.count()).select_from(_JOBS).where(_JOBS.c.state == JobState.QUEUED)
        if connection.execute(waiting).scalar_one() >= self._max_queued:
            raise OverloadedError(f"{self._max_queued} jobs are waiting already; retry when some have ended")


def _locked(folder: Path) -> TextIO:
    """The folder's lock file, held until it is closed; StartupError if another indexer holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "LOCK").open("w")
    except OSError as error:
        raise StartupError(f"data folder {folder} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StartupError(f"data folder {folder} is in use by another indexer; each needs its own") from None
    return lock


def _make_durable(connection: Any, _record: Any) -> None:
    """A commit is on the disk before it returns, and readers do not wait for writers (https://sqlite.org/wal.html)."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _values(request: IndexRequest) -> Any:
    """A request as JSON keeps it."""
    return json.loads(json.dumps(asdict(request)))


def _of_request(connection: Connection, values: Any, request_id: str) -> IndexJob | None:
    row = _row(connection, _JOBS.c.request_id == request_id) if request_id else None
    if row and row.request != values:
        raise InvalidInputError(f"request_id {request_id!r} was used for another request; choose a new one")
    return _job(row) if row else None


def _end(connection: Connection, job_id: str, state: JobState, error: str) -> IndexJob:
    changes: dict[str, Any] = {"state": state, "stage": JobStage.WAITING, "error": error}
    if state is JobState.SUCCEEDED:
        changes["progress_percent"] = 100
    update = _JOBS.update().where(_JOBS.c.job_id == job_id)
    connection.execute(update.values(update_time=_now(), end_time=_now(), **changes))
    return _required(connection, job_id)


def _required(connection: Connection, job_id: str) -> IndexJob:
    row = _row(connection, _JOBS.c.job_id == job_id)
    if row is None:
        raise NotFoundError(f"no job {job_id!r}; ListIndexJobs has those that there are")
    return _job(row)


def _row(connection: Connection, condition: sql.ColumnElement[bool]) -> Row[Any] | None:
    return connection.execute(_JOBS.select().where(condition)).first()


def _job(row: Row[Any]) -> IndexJob:
    return IndexJob(
        job_id=row.job_id,
        uri=row.request["uri"],
        state=JobState(row.state),
        stage=JobStage(row.stage),
        progress_percent=row.progress_percent,
        scene_count=row.scene_count,
        video_id=row.video_id,
        error=row.error,
        create_time=row.create_time.replace(tzinfo=UTC),
        update_time=row.update_time.replace(tzinfo=UTC),
        end_time=row.end_time.replace(tzinfo=UTC) if row.end_time else None,
    )


def _request(values: dict[str, Any]) -> IndexRequest:
    detection = values["detection"]
    return IndexRequest(
        **{**values, "detection": Detection(**{**detection, "detector": Detector(detection["detector"])})}
    )


def _now() -> datetime:
    """UTC, without a zone, as the database keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
