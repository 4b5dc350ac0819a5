"""One pass over a video: decode, find scenes, sample."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.common.errors import InvalidInputError
from services.common.media import NANOSECONDS, Detection, Segment
from services.indexer.ahead import ahead
from services.indexer.detectors import cut_detector
from services.indexer.frames import Film, Frame, StreamInfo, open_film
from services.indexer.limits import Limits
from services.indexer.pictures import Pictures
from services.indexer.sampling import Candidate, Sampler
from services.indexer.scenes import SceneFinder

PROGRESS_INTERVAL_S = 0.5

FRAMES_AHEAD = 4
"""Decoded and not yet looked at: enough to keep the decoder's threads busy, few enough for frames of any size."""

LEAD_NS = 3 * NANOSECONDS
"""How long before the last known scene the analysis goes on: enough for a detector's history at usual frame rates."""


@dataclass(frozen=True, slots=True)
class Task:
    path: Path
    detection: Detection
    shorter_side: int
    """Pixels of the shorter side of the sampled pictures."""
    limits: Limits = Limits()
    resume: Segment | None = None
    """The last scene that is known already; the first one to be told is that which starts where it ends."""


@dataclass(frozen=True, slots=True)
class SampledScene:
    segment: Segment
    samples: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """How far decoding has come, or has got in the end."""

    decoded_ns: int
    decode_errors: int
    """But for those in scenes that are known already."""
    frames: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot be indexed."""

    reason: str


Event: TypeAlias = StreamInfo | SampledScene | Decoded | Refused
"""First a StreamInfo, then SampledScenes and Decodeds mixed, last a Decoded; or a Refused instead of what is left."""


class Analyzer:
    """The pass itself."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._known_ns = task.resume.end_ns if task.resume else 0
        self._start_ns = self._known_ns
        self._sampler = Sampler(task.detection.min_scene_ns)
        self._latest: Frame | None = None
        self._reported_s = time.monotonic()
        self._look_afresh()

    def events(self) -> Iterator[Event]:
        """Analyze the file; InvalidInputError if there is no frame in it, or more than the limits allow."""
        with open_film(self._task.path, self._task.limits.frame_pixels) as film:
            self._pictures = Pictures(self._task.shorter_side, film.pixel_aspect)
            yield film.info
            yield from self._skip(film)
            count = known_errors = 0
            for count, frame in enumerate(self._frames(film), start=1):
                self._refuse_beyond_limits(frame, count)
                yield from self._look(frame)
                if frame.offset_ns < self._known_ns:
                    known_errors = film.decode_errors
                if self._is_time_to_report():
                    yield Decoded(frame.end_ns, film.decode_errors - known_errors, count)
            if self._latest is None:
                raise InvalidInputError(f"{self._task.path.name} has a video stream, but no frame of it can be decoded")
            yield from self._finish(self._latest)
            yield Decoded(self._latest.end_ns, film.decode_errors - known_errors, count)

    def _look_afresh(self) -> None:
        self._detector = cut_detector(self._task.detection, self._start_ns)
        self._finder = SceneFinder(self._detector, self._task.detection, self._start_ns)

    def _is_time_to_report(self) -> bool:
        if time.monotonic() - self._reported_s < PROGRESS_INTERVAL_S:
            return False
        self._reported_s = time.monotonic()
        return True

    def _skip(self, film: Film) -> Iterator[Decoded]:
        """Pass over what is known, but for so much of it that the detector judges as before."""
        if self._task.resume and self._detector.history is not None:
            for _ in film.skip(self._task.resume.start_ns - LEAD_NS):
                if self._is_time_to_report():  # reading alone may take minutes
                    yield Decoded(0, 0, 0)

    def _frames(self, film: Film) -> Iterator[Frame]:
        """The frames to look at; from the film's first one on if those that are left of what is known are too few."""
        missing = (self._detector.history or 0) if self._task.resume else 0
        for frame in _decoded(film):
            if frame.offset_ns < self._known_ns:
                missing -= 1
            elif missing > 0:  # frames are few and far between
                break
            yield frame
        else:
            return
        self._look_afresh()
        yield from _decoded(film)

    def _refuse_beyond_limits(self, frame: Frame, count: int) -> None:
        limits, name = self._task.limits, self._task.path.name
        if count > limits.frames:
            raise InvalidInputError(f"{name} has more than {limits.frames} frames; at most that many are decoded")
        if frame.offset_ns > limits.duration_s * NANOSECONDS:
            seconds = frame.offset_ns / NANOSECONDS
            raise InvalidInputError(
                f"{name} goes on for {seconds:g} s or more; at most {limits.duration_s:g} s are decoded"
            )

    def _look(self, frame: Frame) -> Iterator[SampledScene]:
        latest, self._latest = self._latest, frame
        if latest and self._sampler.wants(latest.offset_ns, frame.offset_ns):
            self._offer(latest)
        for start_ns in self._finder.starts(frame.offset_ns, self._pictures.small(frame.picture)):
            yield self._close(start_ns)
        self._sampler.settle(self._finder.settled_ns)

    def _finish(self, last: Frame) -> Iterator[SampledScene]:
        self._offer(last)
        for start_ns in self._finder.finish(last.end_ns):
            yield self._close(start_ns)
        if last.end_ns > self._start_ns:  # else the film ends where the analysis was to go on
            yield self._close(last.end_ns)

    def _offer(self, frame: Frame) -> None:
        if frame.offset_ns >= self._start_ns:
            self._sampler.offer(Candidate(frame.offset_ns, self._pictures.sample(frame.picture)))

    def _close(self, end_ns: int) -> SampledScene:
        start_ns, self._start_ns = self._start_ns, end_ns
        return SampledScene(Segment(start_ns, end_ns), self._sampler.close(start_ns, end_ns))


def _decoded(film: Film) -> Iterator[Frame]:
    """Its frames, decoded while those before them are looked at."""
    with closing(ahead(film.frames(), FRAMES_AHEAD)) as frames:
        yield from frames
