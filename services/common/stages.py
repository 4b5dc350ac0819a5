"""Stages of work: each is timed, and a span of the trace."""

import contextlib
import functools
import time
from collections.abc import Iterator

from services.common import tracing
from services.common.metrics import STAGE_SECONDS

_seconds = functools.cache(STAGE_SECONDS.labels)
"""Of a stage: to look it up takes as long as to observe."""


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """While a stage lasts, whether it ends well or not; stages that begin inside of it are parts of it."""
    started = time.perf_counter()
    with tracing.span(name):
        try:
            yield
        finally:
            _seconds(name).observe(time.perf_counter() - started)
