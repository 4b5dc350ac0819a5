"""The files of a data folder: who uses them, how they are copied, how new ones take their place.

LevelDB takes no notice of other names in its folder. As long as it knows of all of its files, it never changes one that
an earlier opening has left: it writes new ones and removes the old. So a hard link is a copy.
"""

import contextlib
import fcntl
import os
import shutil
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from services.common.errors import PreconditionError

KINDS = ("*.ldb", "*.sst", "*.log", "MANIFEST-*", "CURRENT")
"""Files that make up a LevelDB; the list of the others, CURRENT, comes last."""

SALVAGED = "salvaged"
"""A copy of what could be read of damaged files."""

BUILDING, READY, INSTALLING = "building", "ready", "installing"
"""A new set of files while it is written, when it is complete, and when it may be moved to its place."""

LOG_BLOCK_BYTES, LOG_HEAD_BYTES = 32 << 10, 7

CHANGES = "changes"
"""The file of a `Witness`."""

DAMAGED = "damaged-"
"""Begins the name of the folder that keeps the files whose place a repair has taken."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have the folder to oneself, and an interrupted `install` in it finished."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PreconditionError("another process has it open; stop that one, or name another folder") from None
        except OSError:  # this file system has no such locks: LevelDB's own keeps another store away
            pass
        _finish(folder)
        yield
    finally:
        os.close(handle)


def of_database(folder: Path) -> list[Path]:
    return [path for kind in KINDS for path in sorted(folder.glob(kind))]


def size_bytes(folder: Path, names: str = "*") -> int:
    total = 0
    for path in folder.glob(names):
        with contextlib.suppress(FileNotFoundError):  # LevelDB removes files that it no longer needs
            total += path.stat().st_size
    return total


def is_empty(folder: Path) -> bool:
    """Whether there is no database, nor what is left of one; at most the beginnings of a first start."""
    return not any(path.stat().st_size for path in of_database(folder) if not path.name.startswith("MANIFEST-"))


def link(folder: Path, to: Path) -> None:
    """Copy the folder's database: by links where the file system has them."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for path in of_database(folder):
        try:
            (to / path.name).hardlink_to(path)
        except OSError:
            shutil.copy2(path, to)


def list_is_torn(folder: Path) -> bool:
    """Whether LevelDB's list of its files (the MANIFEST) ends within a record.

    LevelDB takes that for a write that a crash cut short: it would go on without the files that were listed there, and
    remove or overwrite them.
    """
    with contextlib.suppress(OSError, ValueError):  # then there is none, as LevelDB itself notices
        return not _ends_whole((folder / (folder / "CURRENT").read_text().strip()).read_bytes())
    return False


def _ends_whole(log: bytes) -> bool:
    """Of records with heads of seven bytes, the fifth and sixth the length (leveldb/doc/log_format.md)."""
    at = 0
    while at < len(log):
        left_in_block = LOG_BLOCK_BYTES - at % LOG_BLOCK_BYTES
        length = int.from_bytes(log[at + 4 : at + 6], "little")
        at += left_in_block if left_in_block < LOG_HEAD_BYTES else LOG_HEAD_BYTES + length
    return at == len(log)


def install(folder: Path) -> Path | None:
    """Put the complete database in folder/building in the place of the folder's; return where that is kept, if any."""
    for path in (folder / BUILDING).iterdir():
        sync(path)
    sync(folder / BUILDING)
    (folder / BUILDING).rename(folder / READY)
    sync(folder)
    return _finish(folder)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _finish(folder: Path) -> Path | None:
    """Each step can be done again after a crash; the database is there, old or new, when CURRENT is."""
    kept = None
    if (folder / READY).exists():
        kept = _set_aside(folder)
        (folder / READY).rename(folder / INSTALLING)
        sync(folder)
    if (folder / INSTALLING).exists():
        for path in of_database(folder / INSTALLING):
            path.rename(folder / path.name)
        sync(folder)
        shutil.rmtree(folder / INSTALLING)
    return kept


def _set_aside(folder: Path) -> Path | None:
    names = [path.name for path in of_database(folder)]
    old = [folder / name for name in (CHANGES, *names) if (folder / name).exists()]
    if not old:
        return None
    ready_time = datetime.fromtimestamp((folder / READY).stat().st_mtime, UTC)  # the same in a second attempt
    kept = folder / f"{DAMAGED}{ready_time:%Y%m%dT%H%M%S.%f}"
    kept.mkdir(exist_ok=True)
    for path in reversed(old):
        path.rename(kept / path.name)
    sync(kept)
    return kept


class Witness:
    """How many changes the database has acknowledged, told beside it: never too many, so that fewer are a loss.

    LevelDB takes a damaged length at the end of its log, or of its list of files, for a write that a crash cut short,
    and drops what follows without a word.
    """

    SIZE_BYTES = 32

    def __init__(self, folder: Path) -> None:
        self._path = folder / CHANGES

    def read(self) -> int:
        """0 if nothing, or nothing sensible, is there."""
        try:
            text, check = self._path.read_bytes().split()
            return int(text) if int(check, 16) == zlib.crc32(text) else 0
        except (OSError, ValueError):
            return 0

    def write(self, changes: int) -> None:
        """Not synced: what is lost with the machine's memory was only a smaller number. Nor is a failure one."""
        text = b"%d" % changes
        line = b"%s %08x" % (text, zlib.crc32(text))
        with contextlib.suppress(OSError), self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(line.ljust(self.SIZE_BYTES))
