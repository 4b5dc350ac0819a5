"""Patience with peers that are away for a moment."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.common.errors import TRANSIENT, OverloadedError

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0


async def patiently(call: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Repeat an idempotent call through transient errors for up to `patience_s`, then raise the last of them.

    Exponential backoff with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    give_up = time.monotonic() + patience_s
    delay_s = FIRST_DELAY_S
    while True:
        try:
            return await call()
        except TRANSIENT as error:
            if isinstance(error, OverloadedError):
                delay_s = max(delay_s, error.retry_after_s)
            if time.monotonic() + delay_s > give_up:
                raise
            log.warning("retrying", extra={"reason": str(error), "delay_s": round(delay_s, 1)})
        await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        delay_s = min(delay_s * 2, LONGEST_DELAY_S)
