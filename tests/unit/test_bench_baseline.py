import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import psutil
import pytest
import torch
from scenedetect import VideoOpenFailure

from bench.baseline import baseline as compare
from bench.baseline_method import Baseline, Clip, find_scenes, opened, read_frame, sample_frames
from bench.measure import PeakMemory, machine, median_of, resident_bytes
from bench.random_clip import write_random_clip
from tests.videos import frame_number, scene_picture, write_video
from tools.samples import sample_videos

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = "a dog in the snow"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    vision = SMALL | {"image_size": 64, "patch_size": 32}
    write_random_clip(folder, text_config=dict(SMALL), vision_config=vision, projection_dim=16)
    return folder


@pytest.fixture(scope="module")
def clip(checkpoint):
    return Clip.load(checkpoint)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "video.mp4", [16, 18, 30], fps=Fraction(30000, 1001))


@pytest.fixture
def baseline(clip, tmp_path):
    folder = tmp_path / "database"
    folder.mkdir()
    with Baseline(clip, folder) as baseline:
        yield baseline


def test_scenes_are_spans_of_frame_numbers(video):
    assert find_scenes(video.path) == [(0, 16), (16, 34), (34, 64)]


def test_a_file_without_a_cut_is_one_scene(tmp_path):
    assert find_scenes(write_video(tmp_path / "still.mp4", [20]).path) == [(0, 20)]


def test_three_frames_a_scene_a_third_of_it_apart():
    assert sample_frames(10, 41) == [10, 20, 30]


def test_the_last_sample_of_a_short_scene_is_of_the_next_one():
    assert sample_frames(10, 12) == [10, 11, 12]


def test_a_frame_is_found_by_its_number(video):
    with opened(video.path) as capture:
        assert [frame_number(read_frame(capture, number)) for number in (40, 3, 41)] == [40, 3, 41]


def test_red_and_blue_are_swapped(video):
    with opened(video.path) as capture:
        picture = read_frame(capture, 0)[:80].astype(int)
    written = scene_picture(0)[:80].astype(int)
    assert np.abs(picture[..., ::-1] - written).mean() < 5 < np.abs(picture - written).mean()


def test_a_frame_past_the_end_stops_the_work(video):
    with opened(video.path) as capture, pytest.raises(OSError, match="no frame 64"):
        read_frame(capture, 64)


def test_an_unreadable_file_stops_the_work(baseline, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(VideoOpenFailure):
        baseline.index(tmp_path / "text.mp4")


def test_an_indexed_video_has_its_scenes(baseline, video):
    assert baseline.scene_count(baseline.index(video.path)) == 3


def test_a_score_is_the_mean_over_scenes_of_logits_of_averaged_pixels(baseline, clip, video):
    video_id = baseline.index(video.path)
    logits = []
    with opened(video.path) as capture:
        for numbers in ([0, 5, 10], [16, 22, 28], [34, 44, 54]):
            pictures = [read_frame(capture, number) for number in numbers]
            inputs = clip.processor(text=[TEXT], images=pictures, return_tensors="pt")
            pixels = inputs.pop("pixel_values").mean(dim=0, keepdim=True)
            with torch.no_grad():
                logits.append(clip.model(**inputs, pixel_values=pixels).logits_per_image.item())
    (found,) = baseline.search(TEXT, top_n=5)
    assert found == {
        "video_id": video_id,
        "score": pytest.approx(sum(logits) / 3, abs=1e-4),
        "video_uri": str(video.path),
    }


def test_the_best_videos_come_first(baseline, tmp_path):
    for number, scenes in enumerate(([20], [20, 20], [20, 20, 20])):
        baseline.index(write_video(tmp_path / f"{number}.mp4", scenes).path)
    every = baseline.search(TEXT, top_n=3)
    assert [video["score"] for video in every] == sorted((video["score"] for video in every), reverse=True)
    assert baseline.search(TEXT, top_n=2) == every[:2]


def test_indexing_a_file_again_doubles_it(baseline, video):
    assert baseline.index(video.path) != baseline.index(video.path)
    assert [found["video_uri"] for found in baseline.search(TEXT, top_n=5)] == [str(video.path)] * 2


def test_the_index_outlives_the_process_that_wrote_it(clip, video, tmp_path):
    with Baseline(clip, tmp_path) as baseline:
        video_id = baseline.index(video.path)
    with Baseline(clip, tmp_path) as baseline:
        assert baseline.scene_count(video_id) == 3


def test_random_weights_are_the_same_each_time(clip, tmp_path):
    config = clip.model.config
    write_random_clip(
        tmp_path,
        text_config=dict(SMALL),
        vision_config=config.vision_config.to_dict(),
        projection_dim=config.projection_dim,
    )
    pixels = torch.ones(1, 3, 64, 64)
    assert Clip.load(tmp_path).score(TEXT, pixels) == clip.score(TEXT, pixels)


async def test_the_median_is_of_as_many_runs_as_asked():
    calls = []

    async def call():
        calls.append(1)

    assert await median_of(call, runs=3) >= 0
    assert len(calls) == 3


def test_ours_and_the_baseline_are_timed_on_the_same_video(checkpoint):
    video = next(path for path in sample_videos() if path.name == "bigbuckbunny.mp4")
    figures = compare(str(checkpoint), video, checkpoint)
    assert (figures["video"], figures["model"]) == ("bigbuckbunny.mp4", str(checkpoint))
    assert (figures["ours_index_runs"], figures["baseline_runs"]) == (3, 1)
    seconds = ("baseline_index_s", "baseline_query_s", "ours_index_s", "ours_query_s")
    assert all(figures[name] > 0 for name in (*seconds, "scenes", "indexer_rss_peak_mb"))


def test_peak_memory_counts_what_descendants_hold():
    size = 64 << 20
    grandchild = f"held = b'x' * {size}; print('held', flush=True); input()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with PeakMemory(process.pid) as memory:
            process.communicate(b"\n")
    assert memory.peak_bytes > size


def test_an_ended_process_holds_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    seen = psutil.Process(process.pid)
    process.wait()
    assert resident_bytes(seen) == 0


def test_the_machine_is_named():
    assert f"{len(os.sched_getaffinity(0))} cores" in machine()
