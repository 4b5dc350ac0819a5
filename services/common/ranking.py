"""Rankings of scenes and videos, whoever makes them: what can be asked for, and what comes back."""

from dataclasses import dataclass
from typing import TypeAlias

from services.common.media import (
    SceneHit,
    SceneScoring,
    Segment,
    TimelinePoint,
    Vector,
    Video,
    VideoFilter,
    VideoHit,
    VideoScoring,
)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingPart:
    vector: Vector
    model: str
    """Fingerprint of the model that made it."""
    weight: float = 1.0
    """Finite and not 0, as in all parts; negative to avoid what it stands for."""


@dataclass(frozen=True, slots=True)
class ScenePart:
    """The mean of a stored scene's sampled vectors, normalized."""

    video_id: str
    ordinal: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class VideoPart:
    """The mean of a stored video's sampled vectors, normalized."""

    video_id: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class MomentPart:
    """The vector of the sampled frame that is nearest to a moment of a stored video."""

    video_id: str
    offset_ns: int
    weight: float = 1.0


StoredPart: TypeAlias = ScenePart | MomentPart | VideoPart

Query: TypeAlias = tuple[EmbeddingPart | StoredPart, ...]
"""At least one part. A sample's score is the sum of its cosines to the parts times their weights, over the sum of the
weights' absolute values."""


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImagePart:
    image: bytes
    """A file of JPEG, PNG or WebP."""
    weight: float = 1.0


Description: TypeAlias = tuple[TextPart | ImagePart | StoredPart, ...]
"""What a person asks for, at least one part; a query once its texts and images are embedded."""

SOFTMAX_TEMPERATURE = 0.01
"""The inverse of CLIP's logit scale, which its training caps at 100 (https://arxiv.org/abs/2103.00020, 2.5)."""


@dataclass(frozen=True, slots=True)
class SceneRanking:
    top_k: int = 10
    scenes_per_video: int | None = None
    """None means no limit."""
    video_filter: VideoFilter = VideoFilter()
    scene_scoring: SceneScoring = SceneScoring.BEST
    softmax_temperature: float = SOFTMAX_TEMPERATURE
    time_window: Segment | None = None
    """Only scenes that overlap this span of their video."""
    cursor: str = ""
    """Where to go on in the same ranking: `next_cursor` of what was found before."""
    min_score: float | None = None
    relative_cutoff: float | None = None
    """In (0, 1], as the next two: the share of the best score that a hit must have; see `floor_of`."""
    merge_ratio: float | None = None
    """The share of a hit's score that a scene must have to be merged with it; None means that none is."""
    duplicate_similarity: float | None = None
    """The cosine to a better hit from which on a hit is left out; None means that none is."""
    include_named: bool = False
    """Whether scenes and videos that the query names may be found."""
    include_thumbnails: bool = False


@dataclass(frozen=True, slots=True)
class VideoRanking(SceneRanking):
    scenes_per_video: int = 3
    """Scenes returned with each video; may be 0."""
    video_scoring: VideoScoring = VideoScoring.BEST
    top_scene_count: int = 3
    """For TOP_MEAN."""
    diversity: float = 0.0
    """In [0, 1]: 1 less the lambda of maximal marginal relevance."""


@dataclass(frozen=True, slots=True)
class FilteredCounts:
    """What was left out of an answer: meanings as in FilteredCounts of media.proto."""

    video_count: int = 0
    scene_count: int = 0
    low_score_count: int = 0
    duplicate_count: int = 0


@dataclass(frozen=True, slots=True)
class RankedScenes:
    hits: tuple[SceneHit, ...]
    videos: tuple[Video, ...]
    """The videos of the hits, each once, in the order of their first hit."""
    next_cursor: str = ""
    """Empty at the end of the ranking."""
    filtered: FilteredCounts = FilteredCounts()
    query_truncated: bool = False
    """Whether the text was longer than the model reads."""


@dataclass(frozen=True, slots=True)
class RankedVideos:
    hits: tuple[VideoHit, ...]
    next_cursor: str = ""
    filtered: FilteredCounts = FilteredCounts()
    query_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """A video's relevance curve."""

    points: tuple[TimelinePoint, ...]
    """In order of time."""
    query_truncated: bool = False


def floor_of(score: float, share: float) -> float:
    """The least score that has at least this share of another one, which may be negative."""
    return score - (1 - share) * abs(score)
