import json
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest

from cli import exits, output
from services.common import errors
from services.common.media import Detection, Sample, Scene, SceneHit, Segment, Video
from services.common.ranking import RankedScenes


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "00:00:00.000"),
        (41_666_667, "00:00:00.042"),
        (59_999_500_000, "00:01:00.000"),
        (3_723_004_000_000, "01:02:03.004"),
        (360_000_000_000_000, "100:00:00.000"),
    ],
)
def test_a_timecode_is_to_the_nearest_millisecond(nanoseconds, expected):
    assert output.timecode(nanoseconds) == expected


def test_nanoseconds_become_seconds_in_json():
    assert output.plain(Segment(1_500_000_000, 2_000_000_000)) == {"start_s": 1.5, "end_s": 2.0}


def test_a_length_that_is_not_known_is_null_in_json():
    video = Video("v", "/v.mp4", "", "", "m", 1, None, frame_rate=Fraction(30000, 1001))
    assert (output.plain(video)["duration_s"], output.plain(video)["frame_rate"]) == (None, "30000/1001")


def test_vectors_are_left_out_of_json():
    scene = Scene(0, Segment(0, 1), (Sample(0, np.zeros(4, np.float32)),))
    assert output.plain(scene)["samples"] == [{"offset_s": 0.0}]


def test_values_within_values_are_plain_too():
    hit = SceneHit("v", 0, Segment(0, 1_000_000_000), 0.5, 0)
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    video = Video("v", "/v.mp4", "", "", "m", 1, metadata={"a_ns": "kept"}, index_time=instant)
    found = json.loads(json.dumps(output.plain(RankedScenes((hit,), (video,)))))
    assert found["hits"][0]["segment"] == {"start_s": 0.0, "end_s": 1.0}
    assert found["videos"][0]["metadata"] == {"a_ns": "kept"}
    assert found["videos"][0]["index_time"] == "2026-01-01T00:00:00+00:00"
    assert found["videos"][0]["detection"] == output.plain(Detection())


def test_one_thing_is_counted_as_one():
    assert [output.counted(number, "scene") for number in (0, 1, 2)] == ["0 scenes", "1 scene", "2 scenes"]


def test_what_a_terminal_would_obey_is_made_harmless():
    assert output.visible("a\x1b[31mred\x07\n") == "a\ufffd[31mred\ufffd\n"


@pytest.mark.parametrize("joiner", ["\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"])
def test_what_joins_letters_and_emoji_is_kept(joiner):
    assert output.visible(f"a{joiner}b") == f"a{joiner}b"


def test_markup_in_a_title_is_printed_as_it_is(capsys):
    output.print_table(("title",), [("[bold]x[/bold] :smile:",)])
    assert "[bold]x[/bold] :smile:" in capsys.readouterr().out


def test_nothing_is_cut_or_wrapped_where_there_is_no_terminal(capsys):
    output.print_table(("uri",), [("x" * 500,)])
    assert "x" * 500 in capsys.readouterr().out


@pytest.mark.parametrize(("width", "whole"), [(72, True), (40, False)])
def test_a_long_title_breaks_no_times_where_a_terminal_has_room_for_them(capsys, monkeypatch, width, whole):
    monkeypatch.setattr(output, "FILE_WIDTH", width)
    span = output.span(Segment(0, 1))
    columns = ("rank", "score", "video", "scene", "best moment")
    row = ("1000", "-0.123", "a long title " * 5, span, output.timecode(0))
    output.print_table(columns, [row], whole=("scene", "best moment"))
    printed = capsys.readouterr().out
    assert (span in printed) == whole
    assert max(map(len, printed.splitlines())) <= width
    assert "".join(printed.split()).count("long") == 5


def test_messages_go_to_stderr(capsys):
    output.tell("nothing found")
    assert capsys.readouterr() == ("", "nothing found\n")


def test_every_error_has_an_exit_code_and_every_code_an_error():
    assert set(exits.CODES) == set(errors.VideosearchError.__subclasses__())


def test_every_exit_code_is_explained():
    for code in {exits.FAILED, *exits.CODES.values()}:
        assert f" {code} " in exits.MEANINGS
