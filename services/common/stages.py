"""Stages of work: each is timed, and a span of the trace."""

import contextlib
import time
from collections.abc import Iterator

from services.common import tracing
from services.common.metrics import STAGE_SECONDS


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """While a stage lasts, whether it ends well or not; stages that begin inside of it are parts of it."""
    started = time.perf_counter()
    with tracing.span(name):
        try:
            yield
        finally:
            STAGE_SECONDS.labels(name).observe(time.perf_counter() - started)
