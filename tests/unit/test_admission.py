from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import admission
from services.common.admission import BURST_S, Admission, CallLimits
from services.common.errors import OverloadedError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def call(admitted: Admission, name: str = "ann") -> bool:
    """Whether a call that ends at once is let in."""
    try:
        with admitted.entered(name):
            return True
    except OverloadedError:
        return False


def wait_s(admitted: Admission, name: str = "ann") -> float:
    """After which a call that is refused now may come again."""
    with pytest.raises(OverloadedError) as refusal, admitted.entered(name):
        pass
    return refusal.value.retry_after_s


def test_without_limits_all_calls_are_let_in():
    admitted = Admission(CallLimits())
    with ExitStack() as running:
        for _ in range(2000):
            running.enter_context(admitted.entered("ann"))


def test_no_more_calls_run_at_once_than_may_whoever_makes_them():
    admitted = Admission(CallLimits(calls=2))
    with admitted.entered("ann"), admitted.entered("bob"):
        assert not call(admitted, "cid")
    assert call(admitted, "cid")


def test_a_caller_that_has_its_share_running_leaves_the_others_theirs():
    admitted = Admission(CallLimits(caller_calls=1))
    with admitted.entered("ann"):
        assert not call(admitted, "ann")
        assert call(admitted, "bob")
    assert call(admitted, "ann")


def test_a_call_that_fails_has_ended_too():
    admitted = Admission(CallLimits(calls=1, caller_calls=1))
    with pytest.raises(KeyError), admitted.entered("ann"):
        raise KeyError
    assert call(admitted)


def test_a_caller_that_was_silent_may_make_the_calls_of_a_second_at_once():
    admitted = Admission(CallLimits(caller_rate=5), Clock())
    assert [call(admitted) for _ in range(6)] == [True] * 5 + [False]


def test_a_caller_is_told_when_it_may_come_again_and_then_it_may():
    clock = Clock()
    admitted = Admission(CallLimits(caller_rate=4), clock)
    while call(admitted):
        pass
    assert wait_s(admitted) == pytest.approx(0.25)
    clock.now += 0.24
    assert not call(admitted)
    clock.now += 0.01
    assert call(admitted)


def test_less_than_one_call_a_second_may_be_allowed():
    clock = Clock()
    admitted = Admission(CallLimits(caller_rate=0.1), clock)
    assert call(admitted)
    assert wait_s(admitted) == pytest.approx(10)
    clock.now += 10
    assert call(admitted)


def test_each_caller_has_a_rate_of_its_own():
    admitted = Admission(CallLimits(caller_rate=1), Clock())
    assert call(admitted, "ann")
    assert not call(admitted, "ann")
    assert call(admitted, "bob")


@given(
    st.floats(0.1, 1000),
    st.lists(st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 5)), min_size=1, max_size=100),
)
def test_in_no_stretch_of_time_are_more_calls_let_in_than_its_length_allows(rate, pauses):
    clock = Clock()
    admitted = Admission(CallLimits(caller_rate=rate), clock)
    times = []
    for pause in pauses:
        clock.now += pause
        if call(admitted):
            times.append(clock.now)
    for first, begin in enumerate(times):
        for last, end in enumerate(times[first:], start=first):
            assert last - first + 1 <= rate * (end - begin) + max(1, rate * BURST_S) + 1e-3


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 2), max_size=50))
def test_who_comes_again_when_it_was_told_to_is_let_in(rate, pauses):
    clock = Clock()
    admitted = Admission(CallLimits(caller_rate=rate), clock)
    for pause in pauses:
        clock.now += pause
        if not call(admitted):
            clock.now += wait_s(admitted)
            assert call(admitted)


def test_callers_are_forgotten_once_nothing_is_left_to_know_of_them():
    clock = Clock()
    admitted = Admission(CallLimits(caller_calls=1), clock)
    for number in range(100):
        assert call(admitted, f"host-{number}")
    assert not admitted._callers


def test_of_too_many_callers_those_that_called_last_are_remembered(monkeypatch):
    monkeypatch.setattr(admission, "MAX_CALLERS", 10)
    admitted = Admission(CallLimits(caller_calls=1, caller_rate=0.001), Clock())
    with admitted.entered("busy"):
        for number in range(100):
            assert call(admitted, f"host-{number}")
        assert len(admitted._callers) <= 11
        assert not call(admitted, "busy")
        assert not call(admitted, "host-99")
        assert call(admitted, "host-1")
