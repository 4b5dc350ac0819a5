"""What the store measures of itself, beside what all services do."""

from prometheus_client import Counter, Gauge

from services.common.media import StoreStats
from services.common.metrics import Gauges, Seen

ANSWERS = Counter(
    "videosearch_store_answers", "Searches answered, by source: made, or remembered from an equal one.", ["source"]
)
SEARCHES_WAITING = Gauge("videosearch_store_searches_waiting", "Searches that wait for a thread.")
WRITES_WAITING = Gauge("videosearch_store_writes_waiting", "Changes that wait for the one before.")
STATS = Gauges[StoreStats](
    Seen("videosearch_store_videos", "Videos stored.", lambda s: s.video_count),
    Seen("videosearch_store_scenes", "Scenes stored.", lambda s: s.scene_count),
    Seen("videosearch_store_samples", "Sampled frames stored, one embedding each.", lambda s: s.sample_count),
    Seen("videosearch_store_disk_bytes", "Size of the database on disk.", lambda s: s.disk_size_bytes),
    Seen("videosearch_store_disk_free_bytes", "Room that is left on that disk.", lambda s: s.disk_free_bytes),
    Seen("videosearch_store_vectors_bytes", "Memory that the embeddings take.", lambda s: s.vectors_size_bytes),
    Seen("videosearch_store_read_only", "1 while data is damaged: no writes.", lambda s: bool(s.read_only_reason)),
    Seen(
        "videosearch_store_approximate_samples",
        "Sampled frames in the approximate index; the others are searched exactly.",
        lambda s: s.approximate_sample_count,
    ),
    Seen(
        "videosearch_store_approximate_failed",
        "1 after the approximate index has failed, until it is made anew; searches are exact, and slower.",
        lambda s: bool(s.approximate_failure),
    ),
)
