"""Scenes and samples of videos whose cuts are known."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from services.common.errors import InvalidInputError
from services.common.media import NANOSECONDS, Detection, Detector, Segment, nanoseconds
from services.indexer import analysis
from services.indexer.analysis import Analyzer, Decoded, SampledScene, Task
from services.indexer.limits import Limits
from tests.videos import SyntheticVideo, frame_number, scene_picture, write_video

SCENES = [40, 25, 60, 31]
RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]
SURE = [Detector.ADAPTIVE, Detector.CONTENT, Detector.HISTOGRAM]
"""These see the cuts of such plain films, and nothing else."""


def _task(video: SyntheticVideo, detection: Detection | None = None) -> Task:
    return Task(video.path, detection or Detection(), shorter_side=96)


def _analyze(video: SyntheticVideo, detection: Detection | None = None) -> tuple[list[SampledScene], Decoded]:
    events = list(Analyzer(_task(video, detection)).events())
    end = events[-1]
    assert isinstance(end, Decoded)
    return [event for event in events if isinstance(event, SampledScene)], end


def _told(task: Task) -> list[tuple[Segment, tuple[int, ...]]]:
    """The scenes and the offsets of their samples."""
    scenes = [event for event in Analyzer(task).events() if isinstance(event, SampledScene)]
    return [(scene.segment, tuple(sample.offset_ns for sample in scene.samples)) for scene in scenes]


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


def _variable(path: Path, scenes: list[int]) -> SyntheticVideo:
    pts = np.cumsum(np.random.default_rng(2).integers(3, 9, sum(scenes))).tolist()
    return write_video(path, scenes, pts=pts, time_base=Fraction(1, 150))


@pytest.mark.parametrize("detector", SURE)
@pytest.mark.parametrize("fps", RATES, ids=str)
def test_cuts_and_samples_are_exact_at_constant_rates(tmp_path: Path, fps: Fraction, detector: Detector) -> None:
    video = write_video(tmp_path / "video.mp4", SCENES, fps=fps, bframes=2)
    scenes, _ = _analyze(video, Detection(detector, min_scene_ns=0))
    _check(video, scenes)


def test_cuts_and_samples_are_exact_at_a_variable_rate(tmp_path: Path) -> None:
    video = _variable(tmp_path / "video.mp4", SCENES)
    scenes, _ = _analyze(video)
    # How long the last frame of such a film lasts is the writer's guess: here it is taken from what was read.
    _check(replace(video, duration=Fraction(scenes[-1].segment.end_ns, NANOSECONDS)), scenes)
    assert abs(scenes[-1].segment.end_ns - nanoseconds(video.duration)) <= NANOSECONDS // 18


def test_cuts_and_samples_are_exact_with_a_late_first_pts(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.ts", SCENES, fps=25, first_pts=1234, bframes=2)
    _check(video, _analyze(video)[0])


def test_decoding_covers_the_whole_film(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", SCENES, fps=25)
    assert _analyze(video)[1] == Decoded(nanoseconds(video.duration), 0, sum(SCENES))


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
    scenes, _ = _analyze(video, Detection(min_scene_ns=500_000_000, max_scene_ns=2_000_000_000))
    ends = [1_480_000_000, 2_960_000_000, 4_440_000_000, 5_000_000_000]  # at the last frame that is early enough
    assert [scene.segment.end_ns for scene in scenes] == ends


def test_a_high_threshold_finds_no_cut(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", SCENES, fps=25)
    assert len(_analyze(video, Detection(Detector.CONTENT, threshold=255.0))[0]) == 1


@pytest.mark.parametrize("min_scene_ns", [0, 600_000_000])
@pytest.mark.parametrize("detector", [*SURE, Detector.HASH, Detector.THRESHOLD])
def test_an_analysis_that_goes_on_tells_the_scenes_that_are_left(
    tmp_path: Path, detector: Detector, min_scene_ns: int
) -> None:
    video = _variable(tmp_path / "video.mp4", [40, 3, 25, 200, 1, 1, 60, 31])
    task = _task(video, Detection(detector, min_scene_ns=min_scene_ns, max_scene_ns=2_000_000_000))
    told = _told(task)
    assert len(told) > 5
    for known, (segment, _) in enumerate(told, start=1):
        assert _told(replace(task, resume=segment)) == told[known:]


def test_an_analysis_goes_on_from_the_beginning_where_frames_are_too_few_for_the_detector(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [4, 3, 5], pts=range(0, 12 * 20, 20), time_base=Fraction(1))
    task = _task(video, Detection(max_scene_ns=60 * NANOSECONDS))
    told = _told(task)
    for known, (segment, _) in enumerate(told, start=1):
        assert _told(replace(task, resume=segment)) == told[known:]


def test_an_analysis_that_begins_anew_forgets_what_the_detector_saw(tmp_path: Path) -> None:
    """Of a film that begins in the dark: how long that lasts says where the first scene begins."""
    path = tmp_path / "video.mp4"
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for picture in [np.zeros((36, 64, 3), np.uint8)] * 90 + [scene_picture(0, (64, 36))] * 10:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    task = Task(path, Detection(Detector.THRESHOLD), shorter_side=36)
    told = _told(task)
    assert told[2][0].start_ns == 45 * NANOSECONDS
    assert _told(replace(task, resume=told[0][0])) == told[1:]


def test_what_was_wrong_with_known_scenes_is_not_counted_again(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [50] * 4, fps=25, gop=10)
    data = bytearray(video.path.read_bytes())
    with av.open(video.path) as container:
        packets = [packet for packet in container.demux() if packet.size]
        for packet in (packets[60], packets[165]):
            data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    video.path.write_bytes(data)
    task = _task(video, Detection(Detector.CONTENT))
    whole, late = (list(Analyzer(task).events())[-1] for task in (task, replace(task, resume=_spans(video)[1])))
    assert isinstance(whole, Decoded)
    assert isinstance(late, Decoded)
    assert (whole.decode_errors, late.decode_errors) == (2, 1)


def test_an_analysis_that_goes_on_tells_that_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "PROGRESS_INTERVAL_S", 0)
    video = write_video(tmp_path / "video.mp4", [200] * 3, fps=25)
    events = list(Analyzer(replace(_task(video), resume=_spans(video)[1])).events())
    assert events[1:51] == [Decoded(0, 0, 0)] * 50


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(frames=99), "video.mp4 has more than 99 frames; at most that many are decoded"),
        (Limits(duration_s=3.5), "video.mp4 goes on for 3.52 s or more; at most 3.5 s are decoded"),
    ],
    ids=["frames", "duration"],
)
def test_a_film_beyond_the_limits_is_refused(tmp_path: Path, limits: Limits, reason: str) -> None:
    video = write_video(tmp_path / "video.mp4", [100], fps=25)
    with pytest.raises(InvalidInputError, match=reason):
        list(Analyzer(replace(_task(video), limits=limits)).events())


def test_a_film_at_its_limits_is_analyzed(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [100], fps=25)
    assert _told(replace(_task(video), limits=Limits(frames=100, duration_s=4)))
