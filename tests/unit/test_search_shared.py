"""Work that is shared by those who ask for it at the same time."""

import asyncio
import gc

import pytest

from services.common import call
from services.common.errors import DeadlineError, NotFoundError
from services.search.shared import Shared


class Work:
    """Waits until it is let go, and counts how often it was begun and cancelled."""

    def __init__(self, *ends: object) -> None:
        """Each run returns or raises the next of these, the last one for ever."""
        self.ends = list(ends)
        self.gate = asyncio.Event()
        self.begun = 0
        self.cancelled = 0
        self.request_ids: list[str] = []

    async def __call__(self) -> object:
        self.begun += 1
        self.request_ids.append(call.request_id())
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(end, BaseException):
            raise end
        return end


async def settle() -> None:
    """Let all that can go on without anybody's help do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def ask(shared: Shared, work: Work, *, key="key", request_id="", remaining_s=None):
    call.begin(request_id, remaining_s)
    return await shared.result(key, work)


async def test_those_who_ask_for_the_same_at_the_same_time_share_the_work():
    shared, work = Shared(), Work("answer")
    asking = [asyncio.create_task(ask(shared, work)) for _ in range(20)]
    await settle()
    work.gate.set()
    assert (await asyncio.gather(*asking), work.begun) == (["answer"] * 20, 1)


async def test_those_who_ask_for_something_else_do_not():
    shared, first, other = Shared(), Work("first"), Work("other")
    asking = [asyncio.create_task(ask(shared, work, key=work.ends[0])) for work in (first, other)]
    first.gate.set()
    other.gate.set()
    assert await asyncio.gather(*asking) == ["first", "other"]


async def test_nothing_is_kept_of_what_has_ended():
    shared, work = Shared(), Work("before", "after")
    work.gate.set()
    assert [await ask(shared, work), await ask(shared, work)] == ["before", "after"]


async def test_an_error_goes_to_all():
    shared, work = Shared(), Work(NotFoundError("no video 'v'"))
    asking = [asyncio.create_task(ask(shared, work)) for _ in range(3)]
    await settle()
    work.gate.set()
    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(failure) for failure in failures] == ["no video 'v'"] * 3
    assert work.begun == 1


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_one_who_goes_leaves_the_others_alone(leaver):
    shared, work = Shared(), Work("answer")
    asking = [asyncio.create_task(ask(shared, work)) for _ in range(3)]
    await settle()
    asking[leaver].cancel()
    await settle()
    work.gate.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results.pop(leaver), asyncio.CancelledError)
    assert (results, work.begun, work.cancelled) == (["answer"] * 2, 1, 0)


async def test_when_the_last_one_goes_the_work_is_cancelled_and_who_comes_then_begins_anew():
    shared, work = Shared(), Work("answer")
    asking = [asyncio.create_task(ask(shared, work)) for _ in range(2)]
    await settle()
    for task in asking:
        task.cancel()
    late = asyncio.create_task(ask(shared, work))
    await settle()
    assert (work.begun, work.cancelled) == (2, 1)
    work.gate.set()
    assert await late == "answer"


async def test_those_with_more_time_try_again_when_the_time_of_the_first_has_run_out():
    shared, work = Shared(), Work(DeadlineError("too late"), "answer")
    first = asyncio.create_task(ask(shared, work, remaining_s=100.0))
    await settle()
    others = [asyncio.create_task(ask(shared, work, remaining_s=left_s)) for left_s in (200.0, 300.0, None)]
    await settle()
    work.gate.set()
    with pytest.raises(DeadlineError, match="too late"):
        await first
    assert (await asyncio.gather(*others), work.begun) == (["answer"] * 3, 2)


async def test_those_with_no_more_time_than_the_first_do_not_try_again():
    shared, work = Shared(), Work(DeadlineError("too late"), "answer")
    asking = [asyncio.create_task(ask(shared, work, remaining_s=left_s)) for left_s in (100.0, 50.0)]
    await settle()
    work.gate.set()
    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert ([type(failure) for failure in failures], work.begun) == ([DeadlineError] * 2, 1)


async def test_those_who_wait_for_what_was_cancelled_inside_try_again():
    shared, work = Shared(), Work(asyncio.CancelledError(), "answer")
    asking = [asyncio.create_task(ask(shared, work)) for _ in range(3)]
    await settle()
    work.gate.set()
    first, *others = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert (others, work.begun) == (["answer"] * 2, 2)


async def test_the_work_is_done_under_the_request_id_of_the_call_that_began_it():
    shared, work = Shared(), Work("answer")
    asking = [asyncio.create_task(ask(shared, work, request_id=request_id)) for request_id in ("first", "second")]
    await settle()
    work.gate.set()
    await asyncio.gather(*asking)
    assert work.request_ids == ["first"]


async def test_work_that_fails_while_it_is_cancelled_complains_to_nobody():
    async def stubborn():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise NotFoundError("failed on its way out") from None

    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    asking = asyncio.create_task(ask(Shared(), stubborn))
    await settle()
    asking.cancel()
    await settle()
    gc.collect()
    assert complaints == []
