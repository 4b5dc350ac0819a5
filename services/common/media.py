"""Values that several services share. Offsets and lengths are whole nanoseconds, as on the wire: see `nanoseconds`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from services.common.conditions import Condition

Vector = NDArray[np.float32]
"""An embedding: shape (D,), Euclidean length 1."""

Matrix = NDArray[np.float32]
"""Embeddings, one a row: shape (N, D)."""

NO_VECTOR: Vector = np.empty(0, dtype=np.float32)
"""Stands for the vector of a sample whose embedding was not asked for."""

NANOSECONDS = 1_000_000_000

MAX_IMAGE_BYTES = 64 << 10
"""Of a sample's image."""

MAX_VIDEO_IMAGE_BYTES = 256 << 20
"""Of all images of a video, which is held in memory until it is complete."""


def nanoseconds(seconds: Fraction) -> int:
    """The nearest nanosecond of an exact time; the one place where times stop being fractions."""
    return round(seconds * NANOSECONDS)


class Detector(StrEnum):
    ADAPTIVE = "adaptive"
    CONTENT = "content"
    THRESHOLD = "threshold"
    HASH = "hash"
    HISTOGRAM = "histogram"
    TRANSNETV2 = "transnetv2"


class SceneScoring(StrEnum):
    """How a scene's score follows from those of its samples."""

    BEST = "best"
    MEAN = "mean"
    SOFTMAX = "softmax"


class VideoScoring(StrEnum):
    """How a video's score follows from those of its scenes."""

    BEST = "best"
    MEAN = "mean"
    TOP_MEAN = "top-mean"


@dataclass(frozen=True, slots=True)
class Detection:
    """How a video is cut into scenes."""

    detector: Detector = Detector.ADAPTIVE
    threshold: float | None = None
    """None means the detector's default."""
    min_scene_ns: int = 600_000_000
    """A cut this soon after another does not count."""
    max_scene_ns: int = 30_000_000_000
    """A longer scene is split."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A half-open span: start_ns <= t < end_ns, counted from the first presented frame."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Video:
    video_id: str
    uri: str
    title: str
    content_sha256: str
    model: str
    """Fingerprint of the model that made the embeddings."""
    decoded_ns: int
    """How much could be decoded: the end of the last scene."""
    duration_ns: int | None = None
    """Length according to the container, if it says."""
    decode_errors: int = 0
    width: int = 0
    height: int = 0
    codec: str = ""
    frame_rate: Fraction | None = None
    detection: Detection = Detection()
    metadata: Mapping[str, str] = field(default_factory=dict)
    scene_count: int = 0
    index_time: datetime | None = None
    """When the store committed it; None before."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame that stands for its scene."""

    offset_ns: int
    vector: Vector
    image: bytes = b""
    """The frame as a JPEG, if one is kept."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An unbroken run of frames between two cuts."""

    ordinal: int
    segment: Segment
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class VideoFilter:
    """Conditions joined by "and"; an empty one holds for every video."""

    video_ids: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=dict)
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class SceneHit:
    video_id: str
    ordinal: int
    segment: Segment
    """The scene's, and of those that were merged with it."""
    score: float
    best_offset_ns: int
    merged_before: int = 0
    """How many scenes right before this one the segment covers as well."""
    merged_after: int = 0
    """Likewise, right after."""
    thumbnail: bytes = b""
    """A JPEG, if asked for and kept."""


@dataclass(frozen=True, slots=True)
class VideoHit:
    video: Video
    score: float
    scenes: tuple[SceneHit, ...]


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """How well one sampled frame fits a query."""

    offset_ns: int
    ordinal: int
    score: float


@dataclass(frozen=True, slots=True)
class Thumbnail:
    image: bytes
    """A JPEG."""
    offset_ns: int


@dataclass(frozen=True, slots=True)
class TextEmbedding:
    vector: Vector
    model: str
    """Fingerprint of the model that made it."""
    truncated: bool
    """Whether the text was longer than the model reads."""


@dataclass(frozen=True, slots=True)
class FrameEmbeddings:
    matrix: Matrix
    model: str
    """Fingerprint of the model that made them."""


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding space and how it is served."""

    name: str
    fingerprint: str
    """Digest of weights and preprocessing: equal fingerprints mean comparable embeddings."""
    dimension: int
    image_size: int
    """Shorter side, in pixels, that images are resized to."""
    max_text_tokens: int
    logit_scale: float
    device: str
    precision: str
    back_end: str


@dataclass(frozen=True, slots=True)
class StoreStats:
    video_count: int
    scene_count: int
    sample_count: int
    model: str
    """Fingerprint of the embeddings' model; empty while the store is."""
    dimension: int
    disk_size_bytes: int
    approximate_sample_count: int
    """Sampled frames in the approximate index; the others are searched exactly."""
    read_only_reason: str
    """Why the store takes no writes; empty if it does."""
    approximate_failure: str = ""
    """Why there is no approximate index at present, so that searches are slower; empty if nothing went wrong."""
    vectors_size_bytes: int = 0
    """Memory that the embeddings take."""
    disk_free_bytes: int = 0
    """Room that is left on the disk of the database."""
