"""Threads that work for calls. So much waits for them as they do in a moment; what comes on top is refused at once."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from prometheus_client import Gauge

from services.common import call
from services.common.errors import DeadlineError, OverloadedError
from services.common.metrics import WORK_STOPPED

T = TypeVar("T")

LONGEST_WAIT_S = 1.0
"""What would wait longer, as far as can be told, is refused: its caller may ask another replica, or later."""

FEWEST_WAITING = 8
"""May wait however long they take, or a single slow one would have the next ones refused."""

FIRST_GUESS_S = 0.02
"""How long work is taken to last until some has been timed."""

SMOOTHING = 1 / 16
"""The share that the last one has in the mean of how long work takes."""


class Workers:
    """Asked in the event loop only."""

    def __init__(self, stage: str, threads: int, waiting: Gauge) -> None:
        """`waiting` is kept at how many wait."""
        self._stage = stage
        self._count = threads
        self._threads = ThreadPoolExecutor(threads, stage)
        self._free = asyncio.Semaphore(threads)
        self._gauge = waiting
        self._waiting = 0
        self._mean_s = FIRST_GUESS_S

    async def do(self, work: Callable[[], T]) -> T:
        """What the work returns; OverloadedError at once if too much waits before it.

        Work whose call is over is not begun, and stops where it calls `call.check`.
        """
        expected_s = self._waiting * self._mean_s / self._count
        if self._waiting >= FEWEST_WAITING and expected_s > LONGEST_WAIT_S:
            raise OverloadedError(f"{self._waiting} wait for a {self._stage} already: try again later", expected_s)
        await self._turn()
        # The thread is not free before the work has ended, though the caller may have gone long before.
        job = self._threads.submit(copy_context().run, self._timed, work)
        loop = asyncio.get_running_loop()
        job.add_done_callback(lambda done: loop.is_closed() or loop.call_soon_threadsafe(self._end, done))
        return await asyncio.wrap_future(job)

    async def _turn(self) -> None:
        self._waiting += 1
        self._gauge.inc()
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            WORK_STOPPED.labels(self._stage).inc()
            raise
        finally:
            self._waiting -= 1
            self._gauge.dec()

    def _timed(self, work: Callable[[], T]) -> T:
        """In the thread. What is stopped counts, too: else none would be refused where all run out of time."""
        call.check()
        started = time.monotonic()
        try:
            return work()
        finally:
            self._mean_s += (time.monotonic() - started - self._mean_s) * SMOOTHING

    def _end(self, job: Future[Any]) -> None:
        self._free.release()
        if job.cancelled() or isinstance(job.exception(), DeadlineError):
            WORK_STOPPED.labels(self._stage).inc()
