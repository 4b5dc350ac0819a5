"""What all calls have in common, and what one hands down to those made on its behalf: request id and deadline."""

import math
import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass

from services.common.errors import DeadlineError

REQUEST_ID_KEY = "x-request-id"

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
"""One word, as it stands among the fields of each line of the log; short, for the same reason."""

MARGIN_S = 0.05
"""An outgoing call ends so much before the present one, or a tenth of what remains, so that its failure can be told."""


@dataclass(slots=True)
class Call:
    request_id: str = ""
    deadline: float = math.inf
    """By `time.monotonic()`."""
    over: bool = False
    """It is answered, or its caller has gone. Set in the event loop, read in any thread that works for the call."""


_present: ContextVar[Call] = ContextVar("call", default=Call())  # noqa: B039 - the default is never changed


def begin(request_id: str = "", remaining_s: float | None = None) -> Call:
    """Start a call in the present task; an id that is empty, too long or no single word is replaced by a new one."""
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = uuid.uuid4().hex
    begun = Call(request_id, math.inf if remaining_s is None else time.monotonic() + remaining_s)
    _present.set(begun)
    return begun


def request_id() -> str:
    """The present call's id, or "" outside of calls."""
    return _present.get().request_id


def deadline() -> float:
    """When the present call must have ended, by `time.monotonic()`; infinite if it may take as long as it likes."""
    return _present.get().deadline


def timeout_s(longest_s: float) -> float:
    """How long an outgoing call may take: `longest_s`, or less if the present call must end sooner."""
    left_s = max(0.0, deadline() - time.monotonic())
    return min(longest_s, left_s - min(MARGIN_S, left_s / 10))


def check() -> None:
    """DeadlineError if nobody waits for the present call any more. For long work in threads: none can be cancelled."""
    present = _present.get()
    if present.over or present.deadline <= time.monotonic():
        raise DeadlineError("the deadline passed, or the caller left, while the call was worked on")
