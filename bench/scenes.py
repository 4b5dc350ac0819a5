"""`python -m bench scenes`: how well each detector finds the cuts of films whose shots are known, and how fast."""

import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bench.films import KINDS, Shot, write_film
from bench.measure import machine
from services.common.media import Detection, Detector
from services.indexer.detectors import cut_detector
from services.indexer.frames import open_film
from services.indexer.pictures import Pictures
from services.indexer.scenes import SceneFinder

TOLERANCE = 2
"""Frames that a cut may be off."""

SHOTS = 60
"""In each generated film: about three minutes."""

NEVER_NS = 1 << 62


class Transition(NamedTuple):
    """Numbers of the last frame of a shot and of the first one of the next: neighbors, if it is a hard cut."""

    last: int
    first: int


class Score(NamedTuple):
    precision: float
    recall: float
    f1: float


class Found(NamedTuple):
    starts: list[int]
    """Numbers of the frames at which a scene begins, but for the film's first."""
    frames_per_s: float
    """Decoding counts."""


def scenes(video: Path) -> dict[str, Any]:
    """Figures for the video, if its shots are known, and for films made for this."""
    shots = video.with_suffix(".shots.txt")
    known = shots.exists()
    return {
        "detectors": _figures(video, read_shots(shots.read_text())) if known else {},
        "generated": _generated(),
        "video": video.name if known else f"none: there is no {shots.name}, which says where its shots begin and end",
        "machine": machine(),
    }


def read_shots(text: str) -> list[Shot]:
    """Shots, each a line of the numbers of its first and its last frame."""
    return [Shot(*map(int, line.split())) for line in text.splitlines()]


def transitions_between(shots: Sequence[Shot]) -> list[Transition]:
    return [Transition(before.last, after.first) for before, after in pairwise(shots)]


def score(found: Sequence[int], transitions: Sequence[Transition], tolerance: int = TOLERANCE) -> Score:
    """A transition is found if a cut lies in it, or next to it; each cut counts for one transition at most."""
    left = sorted(found)
    hits = 0
    for last, first in transitions:
        left = [cut for cut in left if cut >= last - tolerance]
        if left and left[0] <= first + tolerance:
            hits += 1
            left.pop(0)
    precision = hits / len(found) if found else 0.0
    recall = hits / len(transitions) if transitions else 0.0
    return Score(precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0)


def find(video: Path, detector: Detector) -> Found:
    """The scenes of a video as the indexer finds them, but that none is split for its length."""
    detection = Detection(detector, max_scene_ns=NEVER_NS)
    finder, pictures = SceneFinder(cut_detector(detection), detection), Pictures(shorter_side=1)
    offsets: list[int] = []
    starts: list[int] = []
    begun = time.perf_counter()
    with open_film(video) as film:
        for frame in film.frames():
            offsets.append(frame.offset_ns)
            starts += finder.starts(frame.offset_ns, pictures.small(frame.picture))
    starts += finder.finish(offsets[-1] + 1)
    seconds = time.perf_counter() - begun
    numbers = {offset_ns: number for number, offset_ns in enumerate(offsets)}
    return Found([numbers[start] for start in starts], len(offsets) / seconds)


def _figures(video: Path, shots: Sequence[Shot]) -> dict[str, dict[str, float]]:
    figures = {}
    for detector in Detector:
        found = find(video, detector)
        scored = score(found.starts, transitions_between(shots))._asdict()
        figures[detector.value] = {
            **{name: round(value, 3) for name, value in scored.items()},
            "frames_per_s": round(found.frames_per_s),
        }
    return figures


def _generated() -> dict[str, dict[str, dict[str, float]]]:
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            path = Path(folder) / f"{name}.mp4"
            figures[name] = _figures(path, write_film(path, kind, SHOTS))
    return figures
