"""Digests of files that were read before."""

import time

import sqlalchemy as sql

from services.indexer.database import DIGESTS, Database, now

SETTLED_NS = 2_000_000_000
"""A file that changed this recently may change again without a new time of change: file systems count it coarsely."""


class Digests:
    """SHA-256 by path and stamp (size in bytes, time of change in nanoseconds)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, path: str, stamp: tuple[int, int]) -> str | None:
        same = sql.and_(DIGESTS.c.path == path, DIGESTS.c.size == stamp[0], DIGESTS.c.mtime_ns == stamp[1])
        with self._database.begin() as connection:
            used = DIGESTS.update().where(same).values(use_time=now()).returning(DIGESTS.c.sha256)
            return connection.execute(used).scalar()

    def remember(self, path: str, stamp: tuple[int, int], sha256: str) -> None:
        if time.time_ns() - stamp[1] < SETTLED_NS:
            return
        with self._database.begin() as connection:
            connection.execute(DIGESTS.delete().where(DIGESTS.c.path == path))
            values = {"path": path, "size": stamp[0], "mtime_ns": stamp[1], "sha256": sha256, "use_time": now()}
            connection.execute(DIGESTS.insert().values(**values))
