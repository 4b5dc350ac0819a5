"""One pass over a video: decode, find scenes, sample."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from services.common.errors import InvalidInputError
from services.common.media import Detection, Segment
from services.indexer.frames import Frame, StreamInfo, open_film
from services.indexer.sampling import Candidate, Picture, Sampler
from services.indexer.scenes import SceneFinder

DETECTION_WIDTH = 256
"""Width of the frames that the detector sees: PySceneDetect's own default."""

FAST = Interpolation.FAST_BILINEAR
"""Looks at few of the pixels, as PySceneDetect's own shrinking does: enough to see a cut."""

LONGEST = 4
"""The longer side of a sampled picture, in shorter ones: wider than any screen is squeezed, to bound its size."""

PROGRESS_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Task:
    path: Path
    detection: Detection
    shorter_side: int
    """Pixels of the shorter side of the sampled pictures."""


@dataclass(frozen=True, slots=True)
class SampledScene:
    segment: Segment
    samples: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """How far decoding has come, or has got in the end."""

    decoded_ns: int
    decode_errors: int


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
        self._finder = SceneFinder(task.detection)
        self._sampler = Sampler()
        self._recent: deque[Frame] = deque(maxlen=self._finder.lag + 1)
        self._shrink = VideoReformatter()
        self._resize = VideoReformatter()
        self._start_ns = 0
        self._small_size: tuple[int, int] | None = None
        """The same for all frames, should the film's change: the detector compares pixel by pixel."""

    def events(self) -> Iterator[Event]:
        """Analyze the file; InvalidInputError if there is no frame in it."""
        with open_film(self._task.path) as film:
            yield film.info
            reported_s = time.monotonic()
            for frame in film.frames():
                yield from self._look(frame)
                if time.monotonic() - reported_s >= PROGRESS_INTERVAL_S:
                    reported_s = time.monotonic()
                    yield Decoded(frame.end_ns, film.decode_errors)
            if not self._recent:
                raise InvalidInputError(f"{self._task.path.name} has a video stream, but no frame of it can be decoded")
            end_ns = self._recent[-1].end_ns
            yield self._close(end_ns)
            yield Decoded(end_ns, film.decode_errors)

    def _look(self, frame: Frame) -> Iterator[SampledScene]:
        self._recent.append(frame)
        if self._sampler.wants(frame.offset_ns):
            self._sampler.offer(self._candidate(frame))
        small = self._small(frame.picture)
        for cut_ns in self._finder.starts(frame.offset_ns, small):
            yield self._close(cut_ns)
            first = next(recent for recent in self._recent if recent.offset_ns == cut_ns)
            self._sampler.begin(self._candidate(first))

    def _close(self, end_ns: int) -> SampledScene:
        start_ns, self._start_ns = self._start_ns, end_ns
        return SampledScene(Segment(start_ns, end_ns), self._sampler.close(start_ns, end_ns))

    def _small(self, picture: VideoFrame) -> Picture:
        """The frame as the detector sees it: BGR, (H, W, 3)."""
        width, height = self._small_size = self._small_size or _small_size(picture)
        # Most frames are YUV already: colors are converted when few pixels are left.
        small = self._shrink.reformat(picture, width, height, "yuv420p", interpolation=FAST, threads=1)
        bgr: Picture = cv2.cvtColor(_array(small), cv2.COLOR_YUV2BGR_I420)
        return bgr

    def _candidate(self, frame: Frame) -> Candidate:
        picture = frame.picture
        shorter = self._task.shorter_side
        scale = shorter / min(picture.width, picture.height)
        width, height = (min(round(side * scale), LONGEST * shorter) for side in (picture.width, picture.height))
        resized = self._resize.reformat(picture, width, height, "rgb24", interpolation=Interpolation.AREA, threads=1)
        return Candidate(frame.offset_ns, _array(resized))


def _small_size(picture: VideoFrame) -> tuple[int, int]:
    """Width and height that the detector sees, both even as colors at half the resolution want it."""
    scale = min(1, DETECTION_WIDTH / picture.width)
    return max(2, 2 * round(picture.width * scale / 2)), max(2, 2 * round(picture.height * scale / 2))


def _array(picture: VideoFrame) -> Picture:
    return picture.to_ndarray().astype(np.uint8, copy=False)
