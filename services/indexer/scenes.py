"""Where scenes begin and end, decided frame by frame."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode
from scenedetect.common import Timecode
from scenedetect.detector import FlashFilter

from services.common.media import NANOSECONDS, Detection, Detector

TICK = Fraction(1, NANOSECONDS)
NOMINAL_RATE = Fraction(25)
"""PySceneDetect wants a frame rate with each time; with times given exactly and lengths in seconds it plays no part."""

ADAPTIVE_THRESHOLD, CONTENT_THRESHOLD = 3.0, 27.0
"""PySceneDetect's defaults."""


class CutDetector(Protocol):
    """The part of PySceneDetect's SceneDetector that is used."""

    @property
    def event_buffer_length(self) -> int: ...

    def process_frame(self, timecode: FrameTimecode, frame_img: NDArray[np.uint8]) -> list[FrameTimecode]: ...


class SceneFinder:
    """Finds the instants at which scenes begin: cuts seen by the detector, and splits of scenes that grow too long."""

    def __init__(self, detection: Detection) -> None:
        self._detector = _detector(detection)
        self._max_scene_ns = detection.max_scene_ns
        self._scene_start_ns = 0

    @property
    def lag(self) -> int:
        """How many frames after a scene's first one the detector may need to see it."""
        return self._detector.event_buffer_length

    def starts(self, offset_ns: int, small_bgr: NDArray[np.uint8]) -> Iterator[int]:
        """Offsets, known with this frame and in order of time, at which a new scene begins."""
        cuts = self._detector.process_frame(FrameTimecode(Timecode(offset_ns, TICK), NOMINAL_RATE), small_bgr)
        for cut_ns in [cut.pts for cut in cuts]:
            if cut_ns > self._scene_start_ns:
                self._scene_start_ns = cut_ns
                yield cut_ns
        if offset_ns - self._scene_start_ns >= self._max_scene_ns:
            self._scene_start_ns = offset_ns
            yield offset_ns


def _detector(detection: Detection) -> CutDetector:
    min_scene_s = detection.min_scene_ns / NANOSECONDS
    chosen: CutDetector
    if detection.detector is Detector.ADAPTIVE:
        chosen = AdaptiveDetector(detection.threshold or ADAPTIVE_THRESHOLD, min_scene_len=min_scene_s)
    else:
        # SUPPRESS reports a cut with its frame; the default, MERGE, may report it a whole min_scene_len later.
        mode = FlashFilter.Mode.SUPPRESS
        chosen = ContentDetector(detection.threshold or CONTENT_THRESHOLD, min_scene_len=min_scene_s, filter_mode=mode)
    return chosen
