"""Files that are replaced while a service runs: certificates, keys, tokens."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

CHECK_INTERVAL_S = 1.0


class Watched(Generic[T]):
    """What is read from files, and read again once they have changed. May be asked from any thread."""

    def __init__(self, files: Sequence[Path], read: Callable[[], T]) -> None:
        """What `read` raises now is raised; later it is logged, and the value before goes on being used."""
        self._files = files
        self._read = read
        self._stamp = self._stamps()
        self._value = read()
        self._checked = time.monotonic()

    @property
    def value(self) -> T:
        now = time.monotonic()
        if now - self._checked >= CHECK_INTERVAL_S:
            self._checked = now
            self._check()
        return self._value

    def _check(self) -> None:
        stamp = self._stamps()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._value = self._read()
        except (OSError, ValueError) as error:
            log.error("file not taken", extra={"files": self._names(), "reason": str(error)})  # noqa: TRY400 - no bug
        else:
            log.info("file read again", extra={"files": self._names()})

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(file) for file in self._files]

    def _names(self) -> str:
        return ", ".join(map(str, self._files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Another one for another content; Kubernetes replaces what a link points to."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
