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
    """Why it failed; empty otherwise."""
    create_time: datetime
    update_time: datetime
    end_time: datetime | None
