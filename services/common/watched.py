"""Files that are replaced while a service runs: certificates, keys, tokens."""

import hashlib
import logging
import threading
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
        self._lock = threading.Lock()
        self._digests = self._read_digests()
        self._value = read()
        self._checked = time.monotonic()

    @property
    def value(self) -> T:
        with self._lock:
            now = time.monotonic()
            if now - self._checked >= CHECK_INTERVAL_S:
                self._checked = now
                self._check()
            return self._value

    def _check(self) -> None:
        digests = self._read_digests()
        if digests == self._digests:
            return
        self._digests = digests
        try:
            self._value = self._read()
        except (OSError, ValueError) as error:
            log.error("file not taken", extra={"files": self._names(), "reason": str(error)})  # noqa: TRY400 - no bug
        else:
            log.info("file read again", extra={"files": self._names()})

    def _read_digests(self) -> list[bytes]:
        return [_digest(file) for file in self._files]

    def _names(self) -> str:
        return ", ".join(map(str, self._files))


def _digest(file: Path) -> bytes:
    """Of the content, for a key of the same size may be written within one tick of the clock of file times."""
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        return b""
