"""Which scenes are told of what a detector sees, and which frames stand for them, whatever their times."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.media import Detection
from services.indexer.sampling import (
    MAX_CANDIDATES,
    SAMPLES_PER_SCENE,
    SPACING_NS,
    Candidate,
    Sampler,
    choose,
)
from services.indexer.scenes import SceneFinder

SECOND = 1_000_000_000
PICTURE = np.zeros((1, 1, 3), np.uint8)


class Scripted:
    """A detector that tells given cuts, each with a given frame."""

    history = 0

    def __init__(self, lag: int, told: Mapping[int, Sequence[int]], at_the_end: Sequence[int]) -> None:
        self.lag = lag
        self._told = told
        self._at_the_end = at_the_end

    def starts(self, offset_ns, small_bgr):
        return list(self._told.get(offset_ns, ()))

    def finish(self):
        return list(self._at_the_end)


@st.composite
def films(draw):
    """Offsets of frames, the film's end, a detection, a lag, and of each cut by how many frames it is told late."""
    gaps = draw(st.lists(st.one_of(st.integers(1, 40), st.integers(1, 2_000)), min_size=1, max_size=120))
    unit = draw(st.sampled_from([1, 1_000_000, 33_366_667]))
    *offsets, end = np.concatenate([[0], np.cumsum(gaps)]).tolist()
    shortest = draw(st.integers(0, 300))
    longest = draw(st.integers(max(1, 2 * shortest), 1_500))
    detection = Detection(min_scene_ns=shortest * unit, max_scene_ns=longest * unit)
    lag = draw(st.integers(0, 12))
    delays = draw(st.dictionaries(st.integers(0, len(offsets) - 1), st.integers(0, lag), max_size=40))
    return [offset * unit for offset in offsets], end * unit, detection, lag, delays


def _detector(offsets, lag, delays, first=0):
    told: dict[int, list[int]] = {}
    at_the_end = []
    for frame, delay in sorted(delays.items()):
        if frame < first:
            continue
        if frame + delay < len(offsets):
            told.setdefault(offsets[frame + delay], []).append(offsets[frame])
        else:
            at_the_end.append(offsets[frame])
    return Scripted(lag, told, at_the_end)


class _Pass:
    """What an analysis does with the frames of a film, from one of them and a known start of a scene on."""

    def __init__(self, film, start=0, first=0):
        self._offsets, self._end, detection, lag, delays = film
        self._first = first
        self._finder = SceneFinder(_detector(self._offsets, lag, delays, first), detection, start)
        self._sampler = Sampler(detection.min_scene_ns)
        self._start = start

    def scenes(self):
        """Starts, ends, and the offsets of samples."""
        for offset, following in zip_longest(self._offsets[self._first :], self._offsets[self._first + 1 :]):
            settled = self._finder.settled_ns
            for cut in self._finder.starts(offset, PICTURE):
                assert cut >= settled
                yield self._close(cut)
            self._sampler.settle(self._finder.settled_ns)
            if offset >= self._start and (following is None or self._sampler.wants(offset, following)):
                self._sampler.offer(Candidate(offset, PICTURE))
        for end in (*self._finder.finish(self._end), self._end):
            if end > self._start:
                yield self._close(end)

    def _close(self, end):
        start, self._start = self._start, end
        return start, end, tuple(sample.offset_ns for sample in self._sampler.close(start, end))


def _scenes(film, start=0, first=0):
    return list(_Pass(film, start, first).scenes())


@given(films())
def test_scenes_tile_the_film_and_begin_with_frames(film) -> None:
    scenes = _scenes(film)
    assert [scene[0] for scene in scenes] == [0, *(scene[1] for scene in scenes[:-1])]
    assert scenes[-1][1] == film[1]
    assert {scene[0] for scene in scenes} <= set(film[0])


@given(films())
def test_no_scene_but_the_last_is_shorter_than_the_minimum(film) -> None:
    assert all(end - start >= film[2].min_scene_ns for start, end, _ in _scenes(film)[:-1])


@given(films())
def test_no_scene_is_longer_than_the_maximum_if_it_has_a_frame_to_be_split_at(film) -> None:
    offsets, _, detection, *_ = film
    for start, end, _ in _scenes(film):
        if end - start > detection.max_scene_ns:
            earliest, latest = start + max(1, detection.min_scene_ns), start + detection.max_scene_ns
            assert not [offset for offset in offsets if earliest <= offset <= latest]


@given(films())
def test_a_cut_is_left_out_only_if_it_comes_too_early_in_its_scene(film) -> None:
    offsets, _, detection, _, delays = film
    scenes = _scenes(film)
    starts = {scene[0] for scene in scenes}
    for cut in (offsets[frame] for frame in delays if offsets[frame] not in starts):
        (start,) = (start for start, end, _ in scenes if start <= cut < end)
        assert cut - start < detection.min_scene_ns


@given(films())
def test_every_scene_has_distinct_samples_of_its_own_in_order_of_time(film) -> None:
    for start, end, samples in _scenes(film):
        assert 1 <= len(samples) <= SAMPLES_PER_SCENE
        assert list(samples) == sorted(set(samples))
        assert start <= samples[0]
        assert samples[-1] < end


@given(films(), st.data())
def test_an_analysis_that_goes_on_after_a_scene_tells_the_same_as_one_that_was_not_interrupted(film, data) -> None:
    scenes = _scenes(film)
    known = data.draw(st.integers(1, len(scenes)))
    start = scenes[known - 1][1]
    first = data.draw(st.integers(0, next((n for n, offset in enumerate(film[0]) if offset >= start), 0)))
    assert _scenes(film, start, first) == scenes[known:]


def test_a_long_scene_is_split_before_a_cut_could_leave_one_too_short() -> None:
    offsets = [frame * 100 for frame in range(60)]
    detection = Detection(min_scene_ns=500, max_scene_ns=2_000)
    scenes = _scenes((offsets, 6_000, detection, 3, {21: 2}))
    assert [start for start, *_ in scenes] == [0, 1_500, 2_100, 3_600, 5_100]


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=40, unique=True))
def test_samples_are_distinct_and_in_order_of_time(offsets: list[int]) -> None:
    candidates = [Candidate(offset, PICTURE) for offset in sorted(offsets)]
    chosen = [sample.offset_ns for sample in choose(candidates, 0, 10**10 + 1)]
    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= SAMPLES_PER_SCENE


@pytest.mark.parametrize("length_s", [2, 3, 30, 600, 7_200])
@pytest.mark.parametrize("min_scene_ns", [0, 600_000_000, 5 * SECOND])
def test_samples_stand_evenly_in_a_scene_of_any_length(length_s: int, min_scene_ns: int) -> None:
    sampler = Sampler(min_scene_ns)
    frame_ns = 40_000_000
    offsets = range(0, length_s * SECOND, frame_ns)
    for offset in offsets:
        if sampler.wants(offset, offset + frame_ns):
            sampler.offer(Candidate(offset, PICTURE))
        sampler.settle(offset - min_scene_ns)
    samples = [sample.offset_ns for sample in sampler.close(0, length_s * SECOND)]
    ideal = [length_s * SECOND * part // 6 for part in (1, 3, 5)]
    off = max(SPACING_NS, length_s * SECOND // MAX_CANDIDATES)
    assert all(abs(sample - target) <= off for sample, target in zip(samples, ideal, strict=True))


@pytest.mark.parametrize("min_scene_s", [0, 1, 60, 1_000])
def test_no_more_candidates_are_held_than_there_is_need_of(min_scene_s: int) -> None:
    held: set[int] = set()

    class Counted(Candidate):
        def __init__(self, offset: int) -> None:
            super().__init__(offset, PICTURE)
            held.add(offset)

        def __del__(self) -> None:
            held.discard(self.offset_ns)

    sampler, frame_ns, lag = Sampler(min_scene_s * SECOND), 40_000_000, 100
    for offset in range(0, 3_600 * SECOND, frame_ns):
        if sampler.wants(offset, offset + frame_ns):
            sampler.offer(Counted(offset))
        sampler.settle(offset - lag * frame_ns - min_scene_s * SECOND)
        assert len(held) <= MAX_CANDIDATES + lag + MAX_CANDIDATES + 2
