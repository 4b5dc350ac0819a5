"""Answers that were given of late, for who asks the same again.

What searches see of the store is an immutable picture (index.py), so the same request has the same answer until the
next picture. Not for several threads.
"""

from typing import Generic, Protocol, TypeVar

from cachetools import LRUCache

from services.store.index import Index
from services.store.metrics import ANSWERS

MAX_BYTES = 8 << 20
"""Of all answers kept, as they are sent: some thousand. In memory they take two or three times that."""


class Sized(Protocol):
    def ByteSize(self) -> int: ...  # noqa: N802 - as protobuf has it


A = TypeVar("A", bound=Sized)


class Answers(Generic[A]):
    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._picture: Index | None = None
        self._kept: LRUCache[bytes, A] = LRUCache(max_bytes, getsizeof=lambda answer: answer.ByteSize())

    def get(self, picture: Index, request: bytes) -> A | None:
        """What was answered to that request with this picture, if it is still kept."""
        known = self._kept.get(request) if picture is self._picture else None
        ANSWERS.labels("made" if known is None else "remembered").inc()
        return known

    def keep(self, picture: Index, request: bytes, answer: A) -> None:
        """Answers with another picture are forgotten."""
        if picture is not self._picture:
            self._picture = picture
            self._kept.clear()
        if answer.ByteSize() <= self._kept.maxsize:
            self._kept[request] = answer
