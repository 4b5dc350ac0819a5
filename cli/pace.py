"""How fast a job gets on, learned from its states."""

from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from services.common.jobs import IndexJob
from services.common.media import NANOSECONDS

WINDOW = timedelta(seconds=10)
"""The speed is that of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Speed:
    frames_per_s: float
    times_real_time: float
    """Seconds of video decoded a second."""
    left_s: float | None
    """Until the end of the video; None if its length is unknown."""


class Pace:
    """Of one job."""

    def __init__(self) -> None:
        self._states: deque[IndexJob] = deque()

    def speed(self, job: IndexJob) -> Speed | None:
        """The speed at this state; None until there are two, apart in time, of one attempt."""
        states = self._states
        if states and (job.frame_count < states[-1].frame_count or job.attempt_count != states[-1].attempt_count):
            states.clear()
        if job.frame_count:
            states.append(job)
        while states and job.update_time - states[0].update_time > WINDOW:
            states.popleft()
        if not states or not (passed_s := (job.update_time - states[0].update_time).total_seconds()):
            return None
        decoded_s = (job.decoded_ns - states[0].decoded_ns) / NANOSECONDS
        frames = job.frame_count - states[0].frame_count
        return Speed(frames / passed_s, decoded_s / passed_s, _left_s(job, decoded_s / passed_s))


def _left_s(job: IndexJob, times_real_time: float) -> float | None:
    if job.duration_ns is None or not times_real_time:
        return None
    return max(0, job.duration_ns - job.decoded_ns) / NANOSECONDS / times_real_time
