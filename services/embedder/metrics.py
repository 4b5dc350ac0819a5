"""What the embedder measures of itself, beside what all services do."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from services.common.metrics import Gauges, Seen
from services.embedder.lanes import Lane

BATCH_ITEMS = Histogram(
    "videosearch_embedder_batch_items",
    "Texts and images in a forward pass of the model, by lane.",
    ["lane"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
MODEL_SECONDS = Histogram(
    "videosearch_embedder_model_seconds",
    "Forward passes of the model, by lane.",
    ["lane"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BATCHES_FAILED = Counter("videosearch_embedder_batches_failed", "Forward passes that failed, by lane.", ["lane"])


@dataclass(frozen=True, slots=True)
class Burden:
    """What the embedder has taken on."""

    waiting: Mapping[Lane, int]
    """Items, texts or images, that no replica has taken yet."""
    accepted: int
    """Items accepted and not yet embedded: those that wait, and those before and in the model."""
    most_accepted: int
    replicas: int


BURDEN = Gauges[Burden](
    Seen("videosearch_embedder_waiting_items", "Items that wait for the model.", lambda b: b.waiting, "lane"),
    Seen("videosearch_embedder_accepted_items", "Items accepted and not yet embedded.", lambda b: b.accepted),
    Seen("videosearch_embedder_max_accepted_items", "So many at most; more are refused.", lambda b: b.most_accepted),
    Seen("videosearch_embedder_replicas", "Replicas of the model that are at work.", lambda b: b.replicas),
)
