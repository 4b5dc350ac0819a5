"""Calls that wait for the model, in two lanes: texts, which somebody waits for, and images, which come in bulk."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from services.common.errors import DeadlineError
from services.common.media import Matrix, Vector
from services.embedder.encoder import Inputs

Lane: TypeAlias = Literal["texts", "images"]

Choose: TypeAlias = Callable[[int], int]
"""From how many items wait to how many of them make a batch."""


class Call:
    """Items of one caller, whose rows go back together."""

    def __init__(self, items: Sequence[Inputs], deadline: float) -> None:
        """`deadline`: by time.monotonic(). To be made, and settled, in the event loop."""
        self.items = items
        self.deadline = deadline
        self.result: asyncio.Future[Matrix] = asyncio.get_running_loop().create_future()
        self._taken = 0
        self._rows: dict[int, Vector] = {}

    @property
    def waiting(self) -> int:
        """Items that are in no batch yet."""
        return len(self.items) - self._taken

    def take(self) -> int:
        """The index of the next item."""
        self._taken += 1
        return self._taken - 1

    def fill(self, index: int, row: Vector) -> None:
        self._rows[index] = row
        if len(self._rows) == len(self.items) and not self.result.done():
            self.result.set_result(np.stack([self._rows[index] for index in range(len(self.items))]))

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class Batch(NamedTuple):
    """Items of one or more calls for one forward pass."""

    lane: Lane
    places: Sequence[tuple[Call, int]]
    """For each item its call and its index there."""

    @property
    def items(self) -> list[Inputs]:
        return [call.items[index] for call, index in self.places]

    def fill(self, matrix: Matrix) -> None:
        for (call, index), row in zip(self.places, matrix, strict=True):
            call.fill(index, row)

    def fail(self, error: Exception) -> None:
        for call in {call for call, _ in self.places}:
            call.fail(error)


class Lanes:
    """Filled from the event loop, emptied by a thread for each model, which takes a batch whenever it is free."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._calls: dict[Lane, deque[Call]] = {"texts": deque(), "images": deque()}
        self._last: Lane = "images"
        self._closed: Exception | None = None

    def put(self, lane: Lane, call: Call) -> None:
        """Let a call wait; it fails at once if the lanes are closed."""
        with self._changed:
            if self._closed:
                call.fail(self._closed)
            else:
                self._calls[lane].append(call)
                self._changed.notify_all()

    def take(self, choose: Mapping[Lane, Choose]) -> Batch | None:
        """The next batch, waited for; None once the lanes are closed."""
        with self._changed:
            while not self._closed:
                self._drop_dead()
                if lane := self._next():
                    self._last = lane
                    calls = self._calls[lane]
                    waiting = sum(call.waiting for call in calls)
                    return Batch(lane, _in_turns(calls, choose[lane](waiting)))
                self._changed.wait()
        return None

    def waiting(self) -> dict[Lane, int]:
        """Items that are in no batch yet."""
        with self._changed:
            return {lane: sum(call.waiting for call in calls) for lane, calls in self._calls.items()}

    def close(self, error: Exception) -> None:
        """Fail all that waits, and all that comes, with `error`."""
        with self._changed:
            self._closed = self._closed or error
            for calls in self._calls.values():
                while calls:
                    self._loop.call_soon_threadsafe(calls.popleft().fail, self._closed)
            self._changed.notify_all()

    def _next(self) -> Lane | None:
        """Texts go first: they wait for at most the batch in progress. But not twice in a row while images wait."""
        texts, images = self._calls["texts"], self._calls["images"]
        if texts and not (images and self._last == "texts"):
            return "texts"
        return "images" if images else None

    def _drop_dead(self) -> None:
        """Forget the calls that nobody waits for any more: cancelled, failed in an earlier batch, or too late."""
        now = time.monotonic()
        for lane, calls in self._calls.items():
            for call in calls:
                if call.deadline <= now:
                    late = DeadlineError("the deadline passed while the call waited for the model")
                    self._loop.call_soon_threadsafe(call.fail, late)
            self._calls[lane] = deque(call for call in calls if call.deadline > now and not call.result.done())


TURNS = 8
"""A call is through after so many turns at the latest, however many short ones come beside it."""


def _in_turns(calls: deque[Call], count: int) -> list[tuple[Call, int]]:
    """Take `count` items: some of each call in turn, so that none stands before the others, then more of the oldest.

    Were those shared evenly as well, calls of the same length would end together, and the model would idle until
    their callers have sent the next ones.
    """
    places: list[tuple[Call, int]] = []
    for _ in range(len(calls)):
        if len(places) == count:
            break
        call = calls.popleft()
        share = min(-(-len(call.items) // TURNS), call.waiting, count - len(places))
        places += [(call, call.take()) for _ in range(share)]
        if call.waiting:
            calls.append(call)
    while len(places) < count:
        places.append((calls[0], calls[0].take()))
        if not calls[0].waiting:
            calls.popleft()
    return places
