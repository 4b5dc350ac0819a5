"""Damaged data: how it is recognized, and what is known of it."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

import plyvel

from services.common.errors import DataLossError, PreconditionError, StartupError
from services.store.records import MALFORMED

log = logging.getLogger(__name__)


NAMED = 5
"""So many damaged records are named to callers, and a hundred times as many in the log."""


@contextlib.contextmanager
def damage(record: str) -> Iterator[None]:
    """Turns what shows that a record is damaged into a DataLossError that names it."""
    try:
        yield
    except (plyvel.Error, *MALFORMED) as error:
        raise DataLossError(f"{record} cannot be read ({reason_of(error)})") from error


def reason_of(error: Exception) -> str:
    """LevelDB's messages come as bytes."""
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(error)


def is_damage(error: plyvel.Error) -> bool:
    """Not what shows that the database is in use, that its files may not be read, or that the disk is full."""
    signs = ("does not exist", "No such file", "Invalid argument")  # of lost files, and of one shorter than was written
    return isinstance(error, plyvel.CorruptionError) or any(sign in reason_of(error) for sign in signs)


def advice_on(error: Exception) -> str:
    """What to do about an error that keeps a database from being opened."""
    if isinstance(error, StartupError | PreconditionError):
        return ""
    if isinstance(error, (DataLossError, *MALFORMED)) or (isinstance(error, plyvel.Error) and is_damage(error)):
        return "the database is damaged; put back a backup (videosearch store restore): "
    if "No space left" in reason_of(error):
        return "its disk is full; free some space: "
    if "/LOCK" in reason_of(error):
        return "another process has it open; stop that one, or set another folder: "
    return "cannot be opened; is it a folder that the service may write? "


def moved(rows: "plyvel.RawIterator", step: Callable[[], None]) -> bool:
    """Whether the iterator stands at a record after the step; LevelDB passes over what is damaged, and complains."""
    with contextlib.suppress(plyvel.Error):
        step()
    return bool(rows.valid())


class Damage:
    """What is damaged in a store. As soon as anything is, the store takes no more writes: they could hide the rest."""

    def __init__(self) -> None:
        self._noting = threading.Lock()
        self._texts: dict[str, None] = {}
        self._videos: dict[str, str] = {}
        self._unnamed = False  # whether videos are gone whose ids nothing tells

    def note(self, text: str, video_id: str | None = None) -> None:
        """Damage of that video, or else of the store as a whole, of which any video may be a part."""
        with self._noting:
            if text in self._texts:
                return
            self._texts[text] = None
            if video_id is None:
                self._unnamed = True
            else:
                self._videos[video_id] = text
        if len(self._texts) <= 100 * NAMED:
            log.error("data is damaged", extra={"damage": text})

    @property
    def reason(self) -> str:
        """Why nothing can be written, and what to do; empty if it can."""
        texts = list(self._texts)
        if not texts:
            return ""
        more = f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
        return (
            f"the store's data is damaged, and read-only: {'; '.join(texts[:NAMED])}{more}. Stop the store and run"
            " `videosearch store repair` on its data folder, or `videosearch store restore` with a backup"
        )

    @property
    def video_count(self) -> int:
        """How many videos are known to be damaged."""
        return len(self._videos)

    def check_writable(self) -> None:
        if self._texts:
            raise DataLossError(self.reason)

    def check_readable(self, video_id: str) -> None:
        """DataLossError if the video, which was not found, may be one that is damaged."""
        if video_id in self._videos:
            raise DataLossError(f"video {video_id!r} is damaged: {self._videos[video_id]}")
        if self._unnamed:
            raise DataLossError(f"video {video_id!r} is not among those that can be read: {self.reason}")
