"""What the indexer measures of itself, beside what all services do."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter

from services.common.jobs import JobState
from services.common.metrics import Gauges, Seen

FRAMES = Counter("videosearch_indexer_frames", "Frames decoded.")
SCENES = Counter("videosearch_indexer_scenes", "Scenes found and embedded.")
VIDEOS = Counter("videosearch_indexer_videos", "Videos indexed, or left as unchanged, by outcome.", ["outcome"])
ATTEMPTS = Counter(
    "videosearch_indexer_attempts",
    "Attempts at jobs, by outcome: succeeded, failed, cancelled, or postponed for another try.",
    ["outcome"],
)
for outcome in ("succeeded", "failed", "cancelled", "postponed"):
    ATTEMPTS.labels(outcome)  # from 0 on: the first one is an increase, too
RECEIVED_BYTES = Counter("videosearch_indexer_received_bytes", "Bytes of videos brought here, by way.", ["way"])


@dataclass(frozen=True, slots=True)
class Work:
    """What the indexer has to do, and the room that it takes."""

    jobs: Mapping[JobState, int]
    spool_bytes: int
    max_spool_bytes: int


WORK = Gauges[Work](
    Seen("videosearch_indexer_jobs", "Jobs that are remembered, by state.", lambda w: w.jobs, "state"),
    Seen("videosearch_indexer_spool_bytes", "Room taken by uploads and downloads.", lambda w: w.spool_bytes),
    Seen("videosearch_indexer_max_spool_bytes", "Room that they may take.", lambda w: w.max_spool_bytes),
)
