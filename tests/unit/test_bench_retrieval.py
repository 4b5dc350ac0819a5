import io
import itertools
import json
import tarfile
from collections import Counter

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from bench.retrieval import best, figures, mean, retrieval, sampled_frames, softmax
from tests.videos import frame_number, write_video
from tools.photographs import HELD_OUT, VALIDATION, Photograph, read_photographs, split


def crossword():
    image = Image.new("RGB", (224, 224), "white")
    draw = ImageDraw.Draw(image)
    for row, column in itertools.product(range(9), repeat=2):
        color = "black" if (row * column + row + column) % 4 == 0 else "white"
        draw.rectangle((24 * row, 24 * column, 24 * row + 24, 24 * column + 24), fill=color, outline="black")
    return image


def traffic_lights():
    image = Image.new("RGB", (224, 224))
    draw = ImageDraw.Draw(image)
    for row, color in enumerate(("red", "orange", "green")):
        draw.ellipse((80, 10 + 70 * row, 145, 70 + 70 * row), fill=color)
    return image


PICTURES = {"one": crossword, "two": traffic_lights}
CAPTIONS = {"one": ["a crossword puzzle", "a puzzle of words"], "two": ["traffic lights at night", "a traffic light"]}


@pytest.fixture
def photographs(tmp_path):
    with tarfile.open(tmp_path / "images_224.tar", "w") as archive:
        for name, draw in PICTURES.items():
            coded = io.BytesIO()
            draw().save(coded, "JPEG")
            member = tarfile.TarInfo(f"images/{name}.jpg")
            member.size = len(coded.getvalue())
            archive.addfile(member, io.BytesIO(coded.getvalue()))
    lines = [f"{name}.jpg#{i}\t{text}\n" for name, texts in CAPTIONS.items() for i, text in enumerate(texts)]
    (tmp_path / "captions.token.txt").write_text("".join(lines) + "three.jpg#0\tno such picture\n")
    return tmp_path


@pytest.fixture
def videos(tmp_path):
    for name, draw in PICTURES.items():
        with av.open(tmp_path / f"{name}.mp4", "w") as container:
            stream = container.add_stream("libx264", rate=5, width=224, height=224, pix_fmt="yuv420p")
            for _ in range(10):
                container.mux(stream.encode(av.VideoFrame.from_image(draw())))
            container.mux(stream.encode())
    entries = [{"file": f"{name}.mp4", "caption": text} for name, texts in CAPTIONS.items() for text in texts]
    (tmp_path / "captions.json").write_text(json.dumps(entries))
    return tmp_path


def test_captions_find_drawn_photographs_and_videos_by_every_ranking(photographs, videos):
    rows = retrieval("lite", photographs, videos)["rows"]
    found = {"r1": 100.0, "r5": 100.0, "r10": 100.0, "median_rank": 1.0, "n": 4}
    rankings = [("photographs", "single"), *(("videos", name) for name in ("mean", "best", "softmax"))]
    assert rows == [{"of": of, "ranking": ranking, **found} for of, ranking in rankings]


def test_recall_counts_captions_and_ties_count_against_the_model():
    scores = np.array([[0.9, 0.1, 0.2], [0.5, 0.5, 0.4], [0.3, 0.2, 0.1]])
    expected = {"r1": 33.3, "r5": 100.0, "r10": 100.0, "median_rank": 2.0, "n": 3}
    assert figures(scores, np.array([0, 1, 2])) == expected


def test_the_mean_is_of_samples_the_best_of_scores_and_softmax_lies_between():
    query, samples = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert mean(query, samples) == pytest.approx(np.sqrt(0.5))
    assert best(query, samples) == 1
    assert softmax(query, samples) == pytest.approx(1 / (1 + np.exp(-10)))


def test_frames_are_sampled_from_the_middles_of_equal_parts_by_their_times(tmp_path):
    """Of two seconds; the last frame but one is shown for one of them, in which three of the middles lie."""
    video = write_video(tmp_path / "video.mp4", [25], fps=24, pts=[*range(24), 47])
    assert [frame_number(np.asarray(image)) for image in sampled_frames(video.path, 96)] == [3, 12, 20, 23]


def test_a_video_of_one_frame_has_one_sample(tmp_path):
    assert len(sampled_frames(write_video(tmp_path / "video.mp4", [1]).path, 96)) == 1


def test_photographs_come_in_an_order_that_only_their_names_decide(photographs):
    read = read_photographs(photographs)
    assert Counter(photograph.name for photograph in read) == Counter(["one.jpg", "two.jpg"])
    assert {photograph.name: list(photograph.captions) for photograph in read} == {
        f"{name}.jpg": texts for name, texts in CAPTIONS.items()
    }
    assert read[0].picture().size == (224, 224)


def test_no_photograph_is_in_two_parts_of_the_split():
    names = [Photograph(str(number), (), b"") for number in range(HELD_OUT + VALIDATION + 5)]
    parts = split(names)
    assert [len(part) for part in parts] == [HELD_OUT, VALIDATION, 5]
    assert {photograph.name for part in parts for photograph in part} == {photograph.name for photograph in names}
