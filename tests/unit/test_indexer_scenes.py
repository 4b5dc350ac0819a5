"""Scenes and samples of videos whose cuts are known."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.media import NANOSECONDS, Detection, Detector, Segment, nanoseconds
from services.indexer.analysis import Analyzer, Decoded, SampledScene, Task
from services.indexer.sampling import FIRST_SPACING_NS, MAX_CANDIDATES, SAMPLES_PER_SCENE, Candidate, Sampler, choose
from tests.videos import SyntheticVideo, frame_number, write_video

SCENES = [40, 25, 60, 31]
RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]
PICTURE = np.zeros((1, 1, 3), np.uint8)


def _analyze(video: SyntheticVideo, detection: Detection | None = None) -> tuple[list[SampledScene], Decoded]:
    events = list(Analyzer(Task(video.path, detection or Detection(), shorter_side=96)).events())
    end = events[-1]
    assert isinstance(end, Decoded)
    return [event for event in events if isinstance(event, SampledScene)], end


def _spans(video: SyntheticVideo) -> list[Segment]:
    return [Segment(nanoseconds(start), nanoseconds(end)) for start, end in video.spans]


def _check(video: SyntheticVideo, scenes: list[SampledScene]) -> None:
    """Scenes are the film's own; each sample lies in its scene, and its picture is the frame of its offset."""
    assert [scene.segment for scene in scenes] == _spans(video)
    offsets = [nanoseconds(offset) for offset in video.frame_offsets]
    for scene in scenes:
        for sample in scene.samples:
            assert scene.segment.start_ns <= sample.offset_ns < scene.segment.end_ns
            assert offsets[frame_number(sample.picture)] == sample.offset_ns


@pytest.mark.parametrize("detector", Detector)
@pytest.mark.parametrize("fps", RATES, ids=str)
def test_cuts_and_samples_are_exact_at_constant_rates(tmp_path: Path, fps: Fraction, detector: Detector) -> None:
    video = write_video(tmp_path / "video.mp4", SCENES, fps=fps, bframes=2)
    scenes, _ = _analyze(video, Detection(detector, min_scene_ns=0))
    _check(video, scenes)


def test_cuts_and_samples_are_exact_at_a_variable_rate(tmp_path: Path) -> None:
    pts = np.cumsum(np.random.default_rng(2).integers(3, 9, sum(SCENES))).tolist()
    video = write_video(tmp_path / "video.mp4", SCENES, pts=pts, time_base=Fraction(1, 150))
    scenes, _ = _analyze(video)
    # How long the last frame of such a film lasts is the writer's guess: here it is taken from what was read.
    _check(replace(video, duration=Fraction(scenes[-1].segment.end_ns, NANOSECONDS)), scenes)
    assert abs(scenes[-1].segment.end_ns - nanoseconds(video.duration)) <= NANOSECONDS // 18


def test_cuts_and_samples_are_exact_with_a_late_first_pts(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.ts", SCENES, fps=25, first_pts=1234, bframes=2)
    _check(video, _analyze(video)[0])


def test_decoding_covers_the_whole_film(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", SCENES, fps=25)
    assert _analyze(video)[1] == Decoded(nanoseconds(video.duration), 0)


def test_a_one_frame_video_is_one_scene_with_one_sample(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [1], fps=25)
    (scene,), _ = _analyze(video)
    assert scene.segment == Segment(0, 40_000_000)
    assert [sample.offset_ns for sample in scene.samples] == [0]


def test_a_cut_soon_after_another_does_not_count(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [50, 5, 50], fps=25)
    scenes, _ = _analyze(video, Detection(Detector.CONTENT, min_scene_ns=1_000_000_000))
    assert [scene.segment for scene in scenes] == [Segment(0, 2_000_000_000), Segment(2_000_000_000, 4_200_000_000)]


def test_a_long_scene_is_split(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [125], fps=25)
    scenes, _ = _analyze(video, Detection(max_scene_ns=2_000_000_000))
    assert [scene.segment.end_ns for scene in scenes] == [2_000_000_000, 4_000_000_000, 5_000_000_000]


def test_a_high_threshold_finds_no_cut(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", SCENES, fps=25)
    assert len(_analyze(video, Detection(Detector.CONTENT, threshold=255.0))[0]) == 1


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=40, unique=True))
def test_samples_are_distinct_and_in_order_of_time(offsets: list[int]) -> None:
    candidates = [Candidate(offset, PICTURE) for offset in sorted(offsets)]
    chosen = [sample.offset_ns for sample in choose(candidates, 0, 10**10 + 1)]
    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= SAMPLES_PER_SCENE


@given(st.integers(1, 20_000), st.integers(1_000_000, 100_000_000))
def test_samples_stand_evenly_in_a_scene_of_any_length(frames: int, frame_ns: int) -> None:
    sampler = Sampler()
    kept = 0
    for offset in range(0, frames * frame_ns, frame_ns):
        if sampler.wants(offset):
            sampler.offer(Candidate(offset, PICTURE))
            kept += 1
    end = frames * frame_ns
    samples = [sample.offset_ns for sample in sampler.close(0, end)]
    spacing = max(frame_ns, FIRST_SPACING_NS, end * 2 // MAX_CANDIDATES)
    if end >= SAMPLES_PER_SCENE * spacing:
        ideal = [end * part // 6 for part in (1, 3, 5)]
        assert all(abs(sample - target) <= spacing for sample, target in zip(samples, ideal, strict=True))
    assert kept <= min(frames, MAX_CANDIDATES * 12)


def test_the_shortest_scene_is_stood_for_by_its_first_frame() -> None:
    sampler = Sampler()
    sampler.offer(Candidate(0, PICTURE))
    sampler.close(0, 1_000)
    sampler.begin(Candidate(1_000, PICTURE))
    assert [sample.offset_ns for sample in sampler.close(1_000, 2_000)] == [1_000]
