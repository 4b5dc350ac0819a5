"""The indexer's database: its tables, and how it is opened, brought up to date and written to."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sql
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

from services.common.errors import StartupError, UnavailableError

_METADATA = sql.MetaData()

JOBS = sql.Table(
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
    # Columns that came later have defaults, for the rows of databases without them.
    sql.Column("unchanged", sql.Boolean, nullable=False, server_default=sql.false()),
    sql.Column("decoded_ns", sql.BigInteger, nullable=False, server_default="0"),
    sql.Column("duration_ns", sql.BigInteger),
    sql.Column("frame_count", sql.BigInteger, nullable=False, server_default="0"),
    sql.Column("owner", sql.String),  # who works on it, until lease_end
    sql.Column("lease_end", sql.DateTime),
    sql.Column("attempt_count", sql.Integer, nullable=False, server_default="0"),
    sql.Column("next_attempt_time", sql.DateTime),
    sql.Column("failure_count", sql.Integer, nullable=False, server_default="0"),  # attempts failed since it got on
    sql.Column("crash_count", sql.Integer, nullable=False, server_default="0"),  # owners gone since it got on
    sql.Column("traceparent", sql.String, nullable=False, server_default=""),  # of the call that asked for it
)

CHECKPOINTS = sql.Table(
    "checkpoints",
    _METADATA,
    sql.Column("job_id", sql.String, primary_key=True),
    sql.Column("ordinal", sql.Integer, primary_key=True),
    sql.Column("content_sha256", sql.String, nullable=False),
    sql.Column("model", sql.String, nullable=False),
    sql.Column("start_ns", sql.BigInteger, nullable=False),
    sql.Column("end_ns", sql.BigInteger, nullable=False),
    sql.Column("offsets_ns", sql.LargeBinary, nullable=False),  # (samples,) int64
    sql.Column("vectors", sql.LargeBinary, nullable=False),  # (samples, D) float32
    sql.Column("decode_errors", sql.Integer, nullable=False),  # up to here
    sql.Column("pictures", sql.String, nullable=False, server_default=""),
    sql.Column("images", sql.LargeBinary),  # (samples,) int64, their sizes, and one after the other
)

DIGESTS = sql.Table(
    "digests",
    _METADATA,
    sql.Column("path", sql.String, primary_key=True),
    sql.Column("size", sql.BigInteger, nullable=False),
    sql.Column("mtime_ns", sql.BigInteger, nullable=False),
    sql.Column("sha256", sql.String, nullable=False),
    sql.Column("use_time", sql.DateTime, nullable=False),
)


class Database:
    """One SQLite file, which this process alone has open. All that is done with it blocks on the disk."""

    def __init__(self, folder: Path) -> None:
        self._lock = _locked(folder)
        # One connection: transactions follow each other instead of failing on a locked database.
        self._engine = sql.create_engine(f"sqlite:///{folder / 'jobs.sqlite'}", pool_size=1, max_overflow=0)
        sql.event.listen(self._engine, "connect", _make_durable)
        try:
            _METADATA.create_all(self._engine)
            self._add_missing_columns()
        except sql.exc.DatabaseError as error:
            self.close()
            reason = str(error).splitlines()[0]
            raise StartupError(f"the jobs in data folder {folder} cannot be opened: {reason}") from None

    def close(self) -> None:
        self._engine.dispose()
        self._lock.close()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction; UnavailableError if the disk is full or refuses otherwise."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (sql.exc.OperationalError, sql.exc.TimeoutError) as error:
            reason = str(error).splitlines()[0]
            raise UnavailableError(f"the indexer's database cannot be used at present: {reason}") from None

    def _add_missing_columns(self) -> None:
        tables = sql.inspect(self._engine)
        for table in (JOBS, CHECKPOINTS):
            known = {column["name"] for column in tables.get_columns(table.name)}
            with self._engine.begin() as connection:
                for column in table.columns:
                    if column.name not in known:
                        definition = CreateColumn(column).compile(self._engine)
                        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def now() -> datetime:
    """UTC, without a zone, as the database keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)


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
