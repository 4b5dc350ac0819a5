"""An indexing job as its owner, the indexer, and its watchers see it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobStage(StrEnum):
    """What a running job is doing; WAITING while it is not running."""

    WAITING = "waiting"
    READING = "reading"
    INDEXING = "indexing"
    STORING = "storing"


@dataclass(frozen=True, slots=True)
class IndexJob:
    job_id: str
    uri: str
    state: JobState
    stage: JobStage
    progress_percent: int
    scene_count: int
    video_id: str
    """Empty until known."""
    error: str
    """Why it failed, or why its last attempt did; empty otherwise."""
    create_time: datetime
    update_time: datetime
    end_time: datetime | None = None
    attempt_count: int = 0
    """Attempts begun since it was accepted or last restarted."""
    next_attempt_time: datetime | None = None
    """When the next attempt may begin, after one has failed."""
    unchanged: bool = False
    """Whether the video was in the store already, as asked for."""
    decoded_ns: int = 0
    duration_ns: int | None = None
    """Length according to the container, once known."""
    frame_count: int = 0
    """Frames decoded by the present attempt."""
