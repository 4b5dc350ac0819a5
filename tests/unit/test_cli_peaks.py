import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.peaks import Peak, peaks
from services.common.media import TimelinePoint


def curve(*scores: float, scene_length: int = 1) -> list[TimelinePoint]:
    """A point each second; each scene has `scene_length` of them."""
    return [TimelinePoint(n * 10**9, n // scene_length, score) for n, score in enumerate(scores)]


def found(*scores: float, count: int = 100) -> dict[int, float]:
    """The prominence of each peak, by its place; in the order found."""
    return {peak.ordinal: peak.prominence for peak in peaks(curve(*scores), count)}


def brute_force(scores: list[float]) -> dict[int, float]:
    """From the definition: for each peak, the way to each higher point."""
    prominences = {}
    for n, score in enumerate(scores):
        left, right = n, n
        while left > 0 and scores[left - 1] == score:
            left -= 1
        while right < len(scores) - 1 and scores[right + 1] == score:
            right += 1
        sides = [scores[place] for place in (left - 1, right + 1) if 0 <= place < len(scores)]
        if n == (left + right) // 2 and all(side < score for side in sides):
            higher = [place for place, other in enumerate(scores) if other > score]
            falls = [score - min(scores[min(n, place) : max(n, place) + 1]) for place in higher]
            prominences[n] = min(falls, default=score - min(scores))
    return prominences


SCORES = st.lists(st.integers(-4, 4).map(float), max_size=40)


@given(SCORES)
def test_prominences_are_those_of_the_definition(scores):
    assert found(*scores) == brute_force(scores)


@given(SCORES, st.integers(0, 10))
def test_the_most_prominent_are_kept_best_first(scores, count):
    prominences = brute_force(scores)
    kept = found(*scores, count=count)
    assert len(kept) == min(count, len(prominences))
    assert sorted(kept.values()) == sorted(prominences.values())[len(prominences) - len(kept) :]
    assert list(kept) == sorted(kept, key=lambda place: (-scores[place], place))


@given(SCORES, st.integers(1, 5))
def test_no_two_are_of_one_scene_and_each_scene_has_its_most_prominent(scores, scene_length):
    by_scene: dict[int, list[float]] = {}
    for place, prominence in brute_force(scores).items():
        by_scene.setdefault(place // scene_length, []).append(prominence)
    kept = peaks(curve(*scores, scene_length=scene_length), 100)
    assert {peak.ordinal: peak.prominence for peak in kept} == {scene: max(of) for scene, of in by_scene.items()}
    assert len(kept) == len(by_scene)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((), {}),
        ((0.5,), {0: 0.0}),
        ((1, 3, 0, 5, 2), {3: 5, 1: 3}),
        ((4, 1, 3, 0), {0: 4, 2: 2}),
        ((0, 1, 2), {2: 2}),
        ((0, 2, 2, 2, 1), {2: 2}),
        ((0, 2, 2, 1), {1: 2}),
        ((3, 3, 3), {1: 0}),
        ((-1, -3, -2), {0: 2, 2: 1}),
        ((0, 5, 1, 5, 0), {1: 5, 3: 5}),
    ],
)
def test_known_curves_have_known_peaks(scores, expected):
    assert found(*scores) == expected


def test_a_peak_says_when_and_where_it_is():
    assert peaks(curve(0, 2, 1), 1) == (Peak(10**9, 1, 2, 2),)
