"""What the decoder says arrives as it was said, and nonsense is refused."""

import json
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from services.common.media import Detection, Detector, Segment
from services.indexer.analysis import Decoded, Event, Refused, SampledScene, Task
from services.indexer.frames import StreamInfo
from services.indexer.limits import Limits
from services.indexer.messages import decode, encode
from services.indexer.sampling import Candidate

EVENTS = get_args(Event)


def carried(value, kinds=EVENTS):
    return decode(kinds, b"".join(encode(value)))


@pytest.mark.parametrize(
    "task",
    [
        Task(Path("/films/é \udcff\n.mp4"), Detection(Detector.CONTENT, 27.5), 224, Limits(1, 0.5, 2, 3, 4.0)),
        Task(Path("film.mp4"), Detection(), 64, resume=Segment(5, 7)),
    ],
)
def test_a_task_arrives_as_it_was(task: Task) -> None:
    assert carried(task, [Task]) == task


@pytest.mark.parametrize(
    "event",
    [
        StreamInfo(1920, 1080, "h264", Fraction(30000, 1001), 10**13),
        StreamInfo(16, 16, "", None, None),
        Decoded(2**62, 3, 4),
        Refused('it is "no" video\n'),
    ],
)
def test_an_event_arrives_as_it_was(event: Event) -> None:
    assert carried(event) == event


def test_pictures_arrive_each_in_its_place() -> None:
    pictures = [np.random.default_rng(n).integers(0, 256, (4 + n, 6, 3), np.uint8) for n in range(3)]
    pictures[1] = pictures[1][:, ::-1]  # not in one piece of memory
    scene = carried(SampledScene(Segment(0, 9), tuple(Candidate(n, picture) for n, picture in enumerate(pictures))))
    assert [sample.offset_ns for sample in scene.samples] == [0, 1, 2]
    for sample, picture in zip(scene.samples, pictures, strict=True):
        np.testing.assert_array_equal(sample.picture, picture)


DECODED = {"decoded_ns": 1, "decode_errors": 0, "frames": 1}
INFO = {"width": 1, "height": 1, "codec": "", "frame_rate": None, "duration_ns": None}


def scene_with(shape):
    return {"segment": {"start_ns": 0, "end_ns": 1}, "samples": [{"offset_ns": 0, "picture": shape}]}


@pytest.mark.parametrize(
    "message",
    [
        ["Task", {}],
        ["Decoded", {"decoded_ns": 1}],
        ["Decoded", DECODED | {"frames": 1.5}],
        ["Decoded", DECODED | {"frames": True}],
        ["Decoded", DECODED | {"frames": "1"}],
        ["Decoded", DECODED | {"frames": 2**63}],
        ["Decoded", []],
        ["Decoded"],
        "Decoded",
        None,
        ["StreamInfo", INFO | {"frame_rate": [1, 0]}],
        ["StreamInfo", INFO | {"frame_rate": "1e999999999"}],
        ["SampledScene", scene_with([100, 100, 3])],
        ["SampledScene", scene_with([2**40, 2**40, 3])],
        ["SampledScene", scene_with([-1, -3, 3])],
        ["SampledScene", scene_with(7)],
    ],
)
def test_nonsense_is_refused(message: object) -> None:
    with pytest.raises(ValueError, match="not a message"):
        decode(EVENTS, json.dumps(message).encode() + b"\nabc")


@pytest.mark.parametrize("data", [b"", b"\n", b"no newline", b"\xff\n", b"[" * 100_000 + b"\n", b"9" * 100_000 + b"\n"])
def test_data_that_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a message"):
        decode(EVENTS, data)
