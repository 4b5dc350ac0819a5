import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.curves import Curve
from cli.peaks import peaks
from cli.timeline import ASCII_LEVELS, LEVELS, ROWS, chart
from services.common.media import TimelinePoint
from tests.stores import SECOND

MINUTE = 60 * SECOND


def curve(*scores: float, length_ns: int = 0, every_ns: int = SECOND) -> Curve:
    """A point every second from 0 on, each of a scene of its own."""
    points = [TimelinePoint(n * every_ns, n, score) for n, score in enumerate(scores)]
    return Curve(points, length_ns or len(scores) * every_ns)


def drawn(of: Curve, width: int = 80, levels: str = LEVELS, count: int = 5) -> list[str]:
    return [line.plain for line in chart(of, peaks(of.points, count), width, levels)]


def columns(lines: list[str]) -> list[str]:
    """What stands over each place of the time axis, from above, without the names of the axes."""
    start = lines[0].index("│") + 1
    rows = [line[start:] for line in lines[:-2]]
    width = max(map(len, rows))
    return ["".join(column).strip() for column in zip(*(row.ljust(width) for row in rows), strict=True)]


POINTS = st.lists(st.tuples(st.integers(0, 10**12), st.floats(-1, 1)), min_size=1, max_size=60).map(
    lambda found: [TimelinePoint(offset_ns, n, score) for n, (offset_ns, score) in enumerate(sorted(found))]
)


@given(POINTS, st.integers(20, 200), st.integers(0, 10**12), st.sampled_from([LEVELS, ASCII_LEVELS]))
def test_no_line_is_wider_than_the_terminal_and_every_peak_is_marked_once(points, width, length_ns, levels):
    of = Curve(points, length_ns)
    best = peaks(points, 5)
    lines = [line.plain for line in chart(of, best, width, levels)]
    assert max(map(len, lines)) <= width
    drawing = "".join(line.split("│")[-1].split("|")[-1] for line in lines[:-2])
    assert sorted(character for character in drawing if character.isdigit()) == list("12345"[: len(best)])


def test_a_column_is_as_high_as_its_score():
    found = columns(drawn(curve(0, 0.5, 1, 0.5, every_ns=20 * SECOND), width=7 + 4, count=0))
    assert found == ["▁", "▁████", "████████", "▁████"]


def test_a_column_with_several_points_shows_the_greatest():
    assert columns(drawn(curve(0, 1, 0, 0), width=7 + 2, count=0)) == ["████████", "▁"]


def test_between_points_the_curve_is_straight_and_around_them_level():
    of = Curve([TimelinePoint(4 * SECOND, 0, 0.0), TimelinePoint(12 * SECOND, 1, 1.0)], 16 * SECOND)
    heights = [len(column) for column in columns(drawn(of, width=7 + 16, count=0))]
    assert heights == [1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8]


def test_points_are_placed_by_time():
    scores = {0: 0.0, 9: 0.0, 10: 1.0, 11: 0.0, 100: 0.0}
    of = Curve([TimelinePoint(second * SECOND, second, score) for second, score in scores.items()], 100 * SECOND)
    assert columns(drawn(of, width=7 + 100)).index("1████████") == 10


def test_peaks_in_one_column_are_marked_one_above_the_other():
    assert columns(drawn(curve(1, 0, 0.9, 0, 0, 0, 0, 0), width=7 + 2)) == ["21████████", "▁"]


def test_the_least_and_the_greatest_score_are_named():
    lines = drawn(curve(-0.25, 0.5), count=0)
    assert (lines[0].split()[0], lines[ROWS - 1].split()[0]) == ("0.500", "-0.250")


def test_a_level_curve_is_drawn_half_as_high():
    assert {len(column) for column in columns(drawn(curve(0.3, 0.3, 0.3), count=0))} == {5}


def test_one_point_makes_a_curve():
    lines = drawn(curve(0.3))
    assert sum("1" in line.split("│")[-1] for line in lines[:-2]) == 1


def test_a_terminal_without_blocks_gets_ascii():
    lines = drawn(curve(0, 1, 0.5), levels=ASCII_LEVELS)
    assert all(map(str.isascii, lines))
    assert "#" in lines[1]


@pytest.mark.parametrize(
    ("length_ns", "most", "names"),
    [
        (1, 5, ["00:00.000"]),
        (2 * SECOND, 4, ["00:00.000", "00:00.500", "00:01.000", "00:01.500", "00:02.000"]),
        (10 * SECOND, 5, ["00:00", "00:02", "00:04", "00:06", "00:08", "00:10"]),
        (9 * MINUTE, 5, ["00:00", "02:00", "04:00", "06:00", "08:00"]),
        (90 * MINUTE, 3, ["00:00:00", "00:30:00", "01:00:00", "01:30:00"]),
        (24 * 60 * MINUTE, 1, ["00:00:00", "24:00:00"]),
        (100 * 60 * MINUTE, 2, ["00:00:00", "100:00:00"]),
    ],
)
def test_times_are_round(length_ns, most, names):
    assert [name for _, name in curve(0, every_ns=1, length_ns=length_ns).ticks(most)] == names


@given(st.integers(1, 10**16), st.integers(1, 12))
def test_ticks_are_never_more_than_fit_nor_after_the_end(length_ns, most):
    ticks = [offset_ns for offset_ns, _ in curve(0, every_ns=1, length_ns=length_ns).ticks(most)]
    assert ticks[0] == 0
    assert len(ticks) <= most + 1
    assert ticks[-1] <= length_ns


@given(POINTS, st.integers(1, 50), st.integers(0, 10**12))
def test_the_greatest_of_each_column_are_points_of_it_and_none_there_is_greater(points, count, length_ns):
    of = Curve(points, length_ns)
    greatest = of.greatest(count)
    assert list(greatest) == sorted({of.column(point.offset_ns, count) for point in points})
    for point in points:
        assert greatest[of.column(point.offset_ns, count)].score >= point.score
    assert set(greatest.values()) <= set(points)
