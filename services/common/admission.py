"""How much is taken on at once: what goes beyond is refused at the door, before it waits for anything."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.common.errors import OverloadedError

BURST_S = 1.0
"""A caller that was silent may make the calls of so long a time at once."""

MAX_CALLERS = 10_000
"""Remembered, beyond those that have a call running."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """0 means no limit."""

    calls: int = 0
    """Running at once."""
    caller_calls: int = 0
    """Of one caller, running at once."""
    caller_rate: float = 0.0
    """Of one caller, begun in a second."""


@dataclass(slots=True)
class _Caller:
    running: int = 0
    due: float = 0.0
    """When its next call would be due, were they spread evenly: the generic cell rate algorithm, as in
    https://brandur.org/rate-limiting."""


class Admission:
    """Asked in the event loop only."""

    def __init__(self, limits: CallLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._running = 0
        self._callers: dict[str, _Caller] = {}

    @contextlib.contextmanager
    def entered(self, name: str) -> Iterator[None]:
        """While a call of that caller runs; OverloadedError with when to come again if it is one too many."""
        limits = self._limits
        if limits.calls and self._running >= limits.calls:
            raise OverloadedError(f"all {limits.calls} calls that run here at once are taken: try again later")
        caller = self._callers[name] = self._callers.pop(name, _Caller())  # the last of them now
        if limits.caller_calls and caller.running >= limits.caller_calls:
            raise OverloadedError(f"{limits.caller_calls} calls of yours run already: wait for one to end")
        if limits.caller_rate:
            self._count(caller)
        self._running += 1
        caller.running += 1
        try:
            yield
        finally:
            self._running -= 1
            caller.running -= 1
            self._forget(name, caller)

    def _count(self, caller: _Caller) -> None:
        now, rate = self._clock(), self._limits.caller_rate
        due = max(caller.due, now)
        early_s = due + 1 / rate - now - max(BURST_S, 1 / rate)
        if early_s > 1e-9:
            raise OverloadedError(f"you call more than {rate:g} times a second: slow down", retry_after_s=early_s)
        caller.due = due + 1 / rate

    def _forget(self, name: str, caller: _Caller) -> None:
        """Of whom nothing is left to know; and of too many, who has not called for the longest time."""
        if not caller.running and caller.due <= self._clock():
            del self._callers[name]
        elif len(self._callers) > MAX_CALLERS:
            idle = (name for name, one in self._callers.items() if not one.running)
            self._callers.pop(next(idle, ""), None)
