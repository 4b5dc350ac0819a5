"""Makes the approximate index and keeps it up with the store, in a thread of its own, so that no write waits for it."""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.store import saved
from services.store.accelerated import Entry, Kept
from services.store.approximate import Approximate, training_rows
from services.store.index import Index
from services.store.scenes import Int64

log = logging.getLogger(__name__)

MIN_SAMPLES = 16_384
"""A smaller store has no approximate index: scoring all takes less than 2 ms."""

MAX_LEFT_SAMPLES = 2048
"""So many new samples may be scored beside the approximate index, 0.2 ms a query, before they are added to it."""

GROWTH = 4
"""A store that is so many times larger than it was gets a new one, with more lists."""

MAX_LOST_SAVED = 0.1
"""Share of the approximate index that may be missing in its file, in case that the store is killed."""

ADDED_SAMPLES = 128
"""So many at once are added to an index that is in use: searches wait for about 12 ms."""

ADDED_AT_FIRST = 8192

RETRY_S = 600.0
"""After a failure: a new one is made then."""

NICENESS = 10
"""Of the thread: searches come first."""


class StoppedError(Exception):
    """The work is given up because the store closes."""


class Accelerator:
    """Ask for `current` and hand over to `use`, from its thread; `use` makes the next picture of the store.

    Whatever goes wrong there, the store serves: `use` is given None, searches are exact, and later it is tried again.
    """

    def __init__(self, path: Path, current: Callable[[], Index], use: Callable[[Kept | None], None]) -> None:
        self._path, self._current, self._use = path, current, use
        self._kept: Kept | None = None
        self._saved_samples = 0
        self.failure = ""
        """Why there is no approximate index, until it is made anew; empty if nothing went wrong."""
        self._changed, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="accelerator", daemon=True)

    def start(self) -> None:
        """Use what was saved, as far as it fits what the store holds, and then keep up."""
        contents = self._current().contents
        self._kept = saved.read(self._path, contents.model, contents.dimension)
        if self._kept:
            self._saved_samples = len(self._kept.approximate)
            self._use(self._kept)
        self._changed.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and save what there is."""
        self._stopping.set()
        self._changed.set()
        self._thread.join()
        self._save(growth=0)

    def notice(self) -> None:
        """The store has changed."""
        self._changed.set()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while self._changed.wait() and not self._stopping.is_set():
            self._changed.clear()
            try:
                self._keep_up(self._current())
                self.failure = ""
            except StoppedError:
                return
            except Exception as error:  # noqa: BLE001 - it may be anything that FAISS, numpy or the memory has to say
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Nothing of it is trusted any more."""
        self._kept = None
        self._use(None)
        self.failure = f"{type(error).__name__}: {error}"
        log.error("approximate index failed", extra={"reason": self.failure, "retry_s": RETRY_S}, exc_info=error)
        self._stopping.wait(RETRY_S)
        self._changed.set()

    def _keep_up(self, index: Index) -> None:
        if index.contents.sample_count < MIN_SAMPLES:
            return
        if self._kept and not index.accelerated:  # the store was loaded anew
            self._use(self._kept)
            index = self._current()
        covered = index.accelerated.covered(index.alive) if index.accelerated else np.zeros_like(index.alive)
        kept, left = self._kept, index.alive & ~covered
        if not kept or self._outgrown(kept, index, covered):
            kept, left = _trained(index, self._check), index.alive
        elif index.sample_counts[left].sum() < MAX_LEFT_SAMPLES:
            return
        self._kept = None  # what is given up halfway is not saved
        self._kept = self._added(kept, index, np.flatnonzero(left))
        self._use(self._kept)
        self._save(growth=MAX_LOST_SAVED)

    def _outgrown(self, kept: Kept, index: Index, covered: NDArray[np.bool_]) -> bool:
        return (
            kept.model != index.contents.model
            or index.contents.sample_count >= GROWTH * kept.trained_samples
            or len(kept.approximate) > 2 * index.sample_counts[covered].sum()
        )

    def _added(self, kept: Kept, index: Index, numbers: Int64) -> Kept:
        """With these videos too; no search looks for them before they are all in."""
        scenes = index.scenes(numbers)
        entries = [Entry.of(index.videos[number]) for number in numbers.tolist()]
        first_id = sum(entry.scene_count for entry in kept.entries)
        samples, bounds = index.rows.samples(scenes)
        ids = first_id + np.repeat(np.arange(len(scenes)), np.diff(bounds))
        step = ADDED_SAMPLES if len(kept.approximate) else ADDED_AT_FIRST
        for start in range(0, len(samples), step):
            self._check()
            kept.approximate.add(index.rows.vectors.unit(samples[start : start + step]), ids[start : start + step])
        return replace(kept, entries=(*kept.entries, *entries))

    def _save(self, growth: float) -> None:
        if not self._kept or len(self._kept.approximate) <= self._saved_samples * (1 + growth):
            return
        if saved.write(self._path, self._kept):
            self._saved_samples = len(self._kept.approximate)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise StoppedError


def _trained(index: Index, check: Callable[[], None]) -> Kept:
    """An empty one, made for what the index holds."""
    count = index.contents.sample_count
    log.info("making the approximate index", extra={"samples": count})
    samples, _ = index.rows.samples(index.scenes(np.flatnonzero(index.alive)))
    some = np.random.default_rng(0).choice(samples, training_rows(count), replace=False, shuffle=False)
    matrix = index.rows.vectors.unit(np.sort(some))
    np.random.default_rng(0).shuffle(matrix)  # its first rows are for the codes
    approximate = Approximate.trained(matrix, count, check)
    return Kept(approximate, index.contents.model, count)
