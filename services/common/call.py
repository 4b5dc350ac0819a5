"""What all calls have in common, and what one hands down to those made on its behalf: request id and deadline."""

import math
import time
import uuid
from contextvars import ContextVar

REQUEST_ID_KEY = "x-request-id"

MAX_MESSAGE_BYTES = 16 << 20
"""Largest message taken and sent: above gRPC's default of 4 MiB, for a ranking of many videos with rich metadata."""

MARGIN_S = 0.05
"""An outgoing call ends so much before the present one, or a tenth of what remains, so that its failure can be told."""

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def begin(request_id: str = "", remaining_s: float | None = None) -> str:
    """Start a call in the present task; an empty id is replaced by a new one, which is returned."""
    request_id = request_id or uuid.uuid4().hex
    _request_id.set(request_id)
    _deadline.set(math.inf if remaining_s is None else time.monotonic() + remaining_s)
    return request_id


def request_id() -> str:
    """The present call's id, or "" outside of calls."""
    return _request_id.get()


def deadline() -> float:
    """When the present call must have ended, by `time.monotonic()`; infinite if it may take as long as it likes."""
    return _deadline.get()


def timeout_s(longest_s: float) -> float:
    """How long an outgoing call may take: `longest_s`, or less if the present call must end sooner."""
    left_s = max(0.0, deadline() - time.monotonic())
    return min(longest_s, left_s - min(MARGIN_S, left_s / 10))
