from pathlib import Path

import av
import pytest

from bench.films import KINDS, write_film
from bench.scenes import Transition, find, read_shots, score, transitions_between
from services.common.media import Detector

CUTS = [Transition(9, 10), Transition(29, 30), Transition(50, 60)]


def test_transitions_lie_between_the_shots_of_a_list() -> None:
    assert transitions_between(read_shots("0 38\n43 285\n286 378\n")) == [Transition(38, 43), Transition(285, 286)]


def test_a_cut_within_two_frames_of_a_transition_is_a_hit() -> None:
    assert score([7, 32, 62], CUTS).f1 == 1
    assert score([6, 33, 63], CUTS).f1 == 0


def test_a_cut_anywhere_in_a_gradual_transition_is_a_hit() -> None:
    assert score([55], CUTS[2:]) == (1, 1, 1)


def test_a_second_cut_in_one_transition_is_a_miss() -> None:
    assert score([52, 58], CUTS[2:]) == (0.5, 1, pytest.approx(2 / 3))


def test_a_cut_between_two_transitions_counts_for_one_of_them() -> None:
    assert score([11], [Transition(9, 10), Transition(11, 12)]) == (1, 0.5, pytest.approx(2 / 3))


def test_cuts_are_matched_so_that_most_of_them_hit() -> None:
    assert score([10, 13], [Transition(9, 10), Transition(11, 12)]).f1 == 1
    assert score([8, 11], [Transition(9, 10), Transition(11, 12)]).f1 == 1


def test_precision_and_recall_are_of_what_was_found_and_of_what_there_is() -> None:
    assert score([10, 20, 40, 45], CUTS) == (0.25, pytest.approx(1 / 3), pytest.approx(2 / 7))
    assert score([], CUTS) == (0, 0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_films_shots_are_as_told(tmp_path: Path, kind: str) -> None:
    shots = write_film(tmp_path / "film.mp4", KINDS[kind], 3)
    with av.open(tmp_path / "film.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == shots[-1].last + 1
    gaps = [first - last for last, first in transitions_between(shots)]
    assert all(gap == 1 if kind == "cuts" else gap > 1 for gap in gaps)


def test_a_film_is_the_same_each_time(tmp_path: Path) -> None:
    films = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    assert write_film(films[0], None, 2) == write_film(films[1], None, 2)
    assert films[0].read_bytes() == films[1].read_bytes()


def test_scenes_are_found_at_the_films_cuts(tmp_path: Path) -> None:
    shots = write_film(tmp_path / "film.mp4", KINDS["cuts"], 3)
    found = find(tmp_path / "film.mp4", Detector.CONTENT)
    assert found.starts == [shot.first for shot in shots[1:]]
    assert found.frames_per_s > 0


def test_the_threshold_detector_finds_the_dark_of_fades(tmp_path: Path) -> None:
    shots = write_film(tmp_path / "film.mp4", KINDS["fades"], 3)
    found = find(tmp_path / "film.mp4", Detector.THRESHOLD)
    assert score(found.starts, transitions_between(shots)).f1 == 1
