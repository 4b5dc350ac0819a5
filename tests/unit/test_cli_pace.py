from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cli.pace import Pace, Speed
from services.common.jobs import IndexJob, JobStage, JobState

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000
FIRST = IndexJob(
    *("j", "/videos/a.mp4", JobState.RUNNING, JobStage.INDEXING, 0, 0, "v", "", START, START),
    attempt_count=1,
    duration_ns=100 * SECOND,
    decoded_ns=2 * SECOND,
    frame_count=50,
)


def later(seconds: float, decoded_s: int, frames: int, **changes) -> IndexJob:
    time = START + timedelta(seconds=seconds)
    return replace(FIRST, update_time=time, decoded_ns=decoded_s * SECOND, frame_count=frames, **changes)


def test_one_state_tells_no_speed():
    assert Pace().speed(FIRST) is None


def test_speed_is_what_was_decoded_between_two_states():
    pace = Pace()
    pace.speed(FIRST)
    assert pace.speed(later(2, 12, 300)) == Speed(frames_per_s=125, times_real_time=5, left_s=88 / 5)


def test_only_the_last_seconds_count():
    pace = Pace()
    for state in (FIRST, later(20, 22, 550), later(24, 42, 1050)):
        speed = pace.speed(state)
    assert speed == Speed(frames_per_s=125, times_real_time=5, left_s=58 / 5)


def test_a_new_attempt_starts_anew():
    pace = Pace()
    pace.speed(later(1, 50, 1250))
    assert pace.speed(later(5, 60, 10, attempt_count=2)) is None
    assert pace.speed(later(6, 61, 35, attempt_count=2)) == Speed(25, 1, 39)


def test_without_a_length_no_end_is_foretold():
    pace = Pace()
    pace.speed(replace(FIRST, duration_ns=None))
    assert pace.speed(later(2, 12, 300, duration_ns=None)).left_s is None


def test_a_job_that_has_decoded_nothing_has_no_speed():
    pace = Pace()
    for seconds in range(3):
        assert pace.speed(later(seconds, 0, 0)) is None
