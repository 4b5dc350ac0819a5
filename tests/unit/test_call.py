import asyncio
import math
import time

import pytest

from services.common import call
from services.common.errors import DeadlineError


async def test_an_outgoing_call_ends_before_the_present_one():
    call.begin(remaining_s=10)
    assert call.timeout_s(30) == pytest.approx(10 - call.MARGIN_S, abs=0.01)


async def test_of_a_short_time_most_is_handed_down():
    call.begin(remaining_s=0.2)
    assert call.timeout_s(30) == pytest.approx(0.18, abs=0.01)


async def test_an_outgoing_call_takes_no_longer_than_its_own_limit():
    call.begin(remaining_s=100)
    assert call.timeout_s(30) == 30


async def test_after_the_deadline_no_time_is_left():
    call.begin(remaining_s=-1)
    assert call.timeout_s(30) == 0
    with pytest.raises(DeadlineError):
        call.check()


async def test_a_call_without_a_deadline_may_take_as_long_as_it_likes():
    call.begin()
    assert call.deadline() == math.inf
    call.check()


async def test_work_in_a_thread_knows_that_its_call_is_over():
    present = call.begin()
    await asyncio.to_thread(call.check)
    present.over = True
    with pytest.raises(DeadlineError):
        await asyncio.to_thread(call.check)


async def test_each_task_has_a_call_of_its_own():
    async def begun(request_id: str, remaining_s: float) -> tuple[str, float]:
        call.begin(request_id, remaining_s)
        await asyncio.sleep(0)
        return call.request_id(), call.deadline() - time.monotonic()

    (first, longest), (second, shortest) = await asyncio.gather(begun("a", 20), begun("b", 10))
    assert (first, second) == ("a", "b")
    assert longest > 15 > shortest


@pytest.mark.parametrize("given", ["", "x" * 129, "a caller=admin"])
async def test_an_id_that_is_empty_or_too_long_is_replaced(given):
    assert len(call.begin(given).request_id) == 32
