import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from services.common import call
from services.common.errors import DeadlineError, NotFoundError, OverloadedError
from services.store import workers
from services.store.workers import FEWEST_WAITING, Workers


def made(threads: int = 1) -> tuple[Workers, Callable[[], float]]:
    """Workers, and how many wait for them."""
    registry = CollectorRegistry()
    gauge = Gauge("waiting", "Those that wait.", registry=registry)
    return Workers("test", threads, gauge), lambda: registry.get_sample_value("waiting")


def stopped() -> float:
    return REGISTRY.get_sample_value("videosearch_work_stopped_total", {"stage": "test"}) or 0.0


class Held:
    """Work that goes on until it is released."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.released.wait(10)

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)


async def several(there: Workers, work: Callable[[], object], count: int) -> list[asyncio.Task[object]]:
    """Begun, each as a call of its own."""

    async def ask() -> object:
        call.begin()
        return await there.do(work)

    tasks = [asyncio.create_task(ask()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_work_is_done_and_what_it_raises_is_raised():
    def fail() -> None:
        raise NotFoundError("no video")

    there, _ = made()
    assert await there.do(lambda: 3) == 3
    with pytest.raises(NotFoundError):
        await there.do(fail)
    assert await there.do(call.request_id) == call.request_id()


async def test_what_comes_on_top_is_refused_at_once_and_told_when_to_come_again():
    there, waiting = made()
    held = Held()
    tasks = await several(there, held, 200)
    refused = [task.exception() for task in tasks if task.done()]
    allowed = workers.LONGEST_WAIT_S / workers.FIRST_GUESS_S
    assert len(refused) == 200 - waiting() - 1
    assert waiting() == pytest.approx(allowed, abs=2)
    assert all(isinstance(error, OverloadedError) for error in refused)
    assert all(error.retry_after_s == pytest.approx(workers.LONGEST_WAIT_S, rel=0.1) for error in refused)
    held.released.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert waiting() == 0


async def test_the_longer_work_takes_the_less_of_it_may_wait(monkeypatch):
    monkeypatch.setattr(workers, "SMOOTHING", 1.0)
    there, waiting = made()
    await there.do(lambda: time.sleep(0.1))
    held = Held()
    tasks = await several(there, held, 100)
    assert FEWEST_WAITING <= waiting() <= 11
    held.released.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_work_that_runs_out_of_time_counts_as_long_as_it_took(monkeypatch):
    def late() -> None:
        time.sleep(0.1)
        raise DeadlineError("the deadline passed")

    monkeypatch.setattr(workers, "SMOOTHING", 1.0)
    there, waiting = made()
    with pytest.raises(DeadlineError):
        await there.do(late)
    held = Held()
    tasks = await several(there, held, 100)
    assert FEWEST_WAITING <= waiting() <= 11
    held.released.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_few_may_wait_however_long_they_take(monkeypatch):
    monkeypatch.setattr(workers, "FIRST_GUESS_S", 1000.0)
    there, waiting = made()
    held = Held()
    tasks = await several(there, held, 100)
    assert waiting() == FEWEST_WAITING
    held.released.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_leaves_while_it_waits_makes_room_and_its_work_is_not_begun():
    there, waiting = made()
    before, held, begun = stopped(), Held(), list[str]()
    (first,) = await several(there, held, 1)
    (second,) = await several(there, lambda: begun.append("second"), 1)
    assert waiting() == 1
    second.cancel()
    await asyncio.wait((second,))
    assert (waiting(), stopped() - before) == (0, 1)
    held.released.set()
    await first
    assert begun == []


async def test_work_whose_call_is_over_is_not_begun():
    there, _ = made()
    before, begun = stopped(), list[str]()
    call.begin(remaining_s=-1)
    with pytest.raises(DeadlineError):
        await there.do(lambda: begun.append("late"))
    assert (begun, stopped() - before) == ([], 1)


async def test_a_thread_whose_caller_has_gone_is_free_when_its_work_has_ended():
    there, waiting = made()
    held, begun = Held(), list[str]()
    (first,) = await several(there, held, 1)
    await held.until_begun()
    first.cancel()
    await asyncio.wait((first,))
    (second,) = await several(there, lambda: begun.append("second"), 1)
    assert (waiting(), begun) == (1, [])
    held.released.set()
    await second
    assert begun == ["second"]


async def test_several_threads_work_at_the_same_time():
    there, waiting = made(threads=2)
    both = threading.Barrier(2, timeout=10)
    await asyncio.gather(*await several(there, both.wait, 2))
    assert waiting() == 0
