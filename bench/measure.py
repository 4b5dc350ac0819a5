"""How the benchmarks measure: seconds as a median, memory as a peak, and the name of the machine."""

import os
import platform
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil


async def median_of(call: Callable[[], Awaitable[object]], runs: int) -> float:
    """Median wall-clock seconds of `runs` awaited calls, one after the other."""
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def milliseconds(seconds: Sequence[float], percentile: float) -> float:
    """A percentile of measured times."""
    return round(float(np.percentile(seconds, percentile)) * 1000, 2)


class PeakMemory:
    """The most memory that a process and its descendants held together while the block ran.

    A sum of resident set sizes, taken every `period_s`: pages that two of them share count twice.
    """

    def __init__(self, pid: int, period_s: float = 0.25) -> None:
        self._process = psutil.Process(pid)
        self._period_s = period_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._period_s):
            self._sample()

    def _sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes, resident_bytes(self._process))


def resident_bytes(process: psutil.Process) -> int:
    """What a process and its descendants hold now; one that has just ended counts as nothing."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_own_resident_bytes, family))


def _own_resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def machine() -> str:
    """The machine that this process runs on; a figure means little without it."""
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total
    return f"{_processor()}, {cores} cores, {memory / 2**30:.0f} GiB, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
