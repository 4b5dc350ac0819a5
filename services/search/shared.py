"""What several ask for at the same time is worked out once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.common import call
from services.common.errors import DeadlineError
from services.search.metrics import SHARED

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Work(Generic[T]):
    task: asyncio.Task[T]
    """It has the request id and the deadline of the call that began it."""
    deadline: float
    waiting: int = 0


class Shared(Generic[K, T]):
    """Work under way, by what it is for. Nothing is kept of what has ended."""

    def __init__(self) -> None:
        self._running: dict[K, _Work[T]] = {}

    async def result(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work under way for this key returns or raises, or else this work.

        It goes on as long as anyone waits for it. If it ran out of the time of the call that began it, or was
        cancelled, those with more time try again.
        """
        while (running := self._running.get(key)) is not None:
            SHARED.inc()
            task = await self._ended(key, running)
            if task.cancelled():
                continue
            if not isinstance(task.exception(), DeadlineError) or call.deadline() <= running.deadline:
                return task.result()
        begun = self._running[key] = _Work(asyncio.create_task(work()), call.deadline())
        begun.task.add_done_callback(lambda _: self._end(key, begun))
        return (await self._ended(key, begun)).result()

    async def _ended(self, key: K, work: _Work[T]) -> asyncio.Task[T]:
        work.waiting += 1
        try:
            await asyncio.wait((work.task,))
        finally:
            work.waiting -= 1
            if not work.waiting and not work.task.done():
                work.task.cancel()
                self._end(key, work)  # who comes now begins anew, though the task may take a while to end
        return work.task

    def _end(self, key: K, work: _Work[T]) -> None:
        if self._running.get(key) is work:
            del self._running[key]
        if work.task.done() and not work.task.cancelled():
            work.task.exception()  # so that none counts as never retrieved, though nobody waits any more
