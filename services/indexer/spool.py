"""The room on disk for videos on their way in: uploads, downloads and parts of them, a folder for each job."""

import errno
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.errors import DataLossError, InvalidInputError, OverloadedError, StartupError

FULL = (errno.ENOSPC, errno.EDQUOT)


class Spool:
    """Its methods, and those of its parts, block on the disk."""

    def __init__(self, folder: Path, max_bytes: int, max_file_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_file_bytes = min(max_file_bytes, max_bytes)
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._sizes = {job.name: sum(file.stat().st_size for file in job.iterdir()) for job in folder.iterdir()}
        except OSError as error:
            raise StartupError(f"the spool folder {folder} cannot be used: {error.strerror}") from None
        self._found = set(self._sizes)

    def video(self, job_id: str) -> Path:
        """Where a job's video lies once all of it is there."""
        return self._folder / job_id / "video"

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @property
    def taken_bytes(self) -> int:
        with self._lock:
            return sum(self._sizes.values())

    def reserve(self, job_id: str, size: int) -> None:
        """Make sure of the room for so many bytes of a job in all."""
        if size > self._max_file_bytes:
            raise InvalidInputError(
                f"the video is larger than the {self._max_file_bytes} bytes that the indexer allows"
            )
        with self._lock:
            others = sum(self._sizes.values()) - self._sizes.get(job_id, 0)
            if others + size > self._max_bytes:
                raise OverloadedError(
                    f"the indexer's room for uploads and downloads, {self._max_bytes} bytes, is full;"
                    " retry when some jobs have ended"
                )
            self._sizes[job_id] = max(size, self._sizes.get(job_id, 0))

    def discard(self, job_id: str) -> None:
        """Remove all that is kept for a job."""
        shutil.rmtree(self._folder / job_id, ignore_errors=True)
        with self._lock:
            self._sizes.pop(job_id, None)

    def retain(self, job_ids: Collection[str]) -> None:
        """Remove what an earlier run of the service has left for other jobs than these."""
        for job_id in self._found.difference(job_ids):
            self.discard(job_id)


class Part:
    """A job's video on its way in: its first bytes, of which an earlier attempt may have brought some."""

    def __init__(self, spool: Spool, job_id: str) -> None:
        self._spool = spool
        self._job_id = job_id
        self._video = spool.video(job_id)
        self._path = self._video.with_name("part")
        self._tag_path = self._video.with_name("tag")
        known = self._path.exists() and self._tag_path.exists()
        self.size = self._path.stat().st_size if known else 0
        self.tag = self._tag_path.read_text() if known else ""
        """Names the version of the source that the bytes are of; empty if it has no name, and no more can be added."""

    def begin(self, tag: str = "") -> None:
        """Start over with a version of the source."""
        with _room():
            self._path.parent.mkdir(exist_ok=True)
            self._path.write_bytes(b"")
            self._tag_path.write_text(tag)
        self.size, self.tag = 0, tag

    def expect(self, size: int) -> None:
        """Refuse at once what there is no room for."""
        self._spool.reserve(self._job_id, size)

    def append(self, data: bytes) -> None:
        self.expect(self.size + len(data))
        with _room(), self._path.open("r+b") as file:
            file.seek(self.size)  # and not at the end: a cancelled attempt may still be writing its last bytes
            file.write(data)
        self.size += len(data)

    def finish(self) -> Path:
        """Say that all of it is there; survives a crash of the machine."""
        with _room():
            _sync(self._path)
            self._path.rename(self._video)
            self._tag_path.unlink()
            _sync(self._video.parent)
            _sync(self._video.parent.parent)
        return self._video


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OverloadedError("the disk for uploads and downloads is full; retry later") from None
        raise DataLossError(f"the indexer cannot write to its spool folder: {error.strerror}") from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
