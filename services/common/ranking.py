"""Rankings of scenes and videos, whoever makes them: what can be asked for, and what comes back."""

from dataclasses import dataclass
from typing import TypeAlias

from services.common.media import (
    SceneHit,
    SceneScoring,
    Segment,
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


Query: TypeAlias = tuple[EmbeddingPart | ScenePart | VideoPart, ...]
"""At least one part. A sample's score is the sum of its cosines to the parts times their weights, over the sum of the
weights' absolute values."""

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


@dataclass(frozen=True, slots=True)
class VideoRanking(SceneRanking):
    scenes_per_video: int = 3
    """Scenes returned with each video; may be 0."""
    video_scoring: VideoScoring = VideoScoring.BEST


@dataclass(frozen=True, slots=True)
class RankedScenes:
    hits: tuple[SceneHit, ...]
    videos: tuple[Video, ...]
    """The videos of the hits, each once, in the order of their first hit."""
    next_cursor: str = ""
    """Empty at the end of the ranking."""
    query_truncated: bool = False
    """Whether the text was longer than the model reads."""


@dataclass(frozen=True, slots=True)
class RankedVideos:
    hits: tuple[VideoHit, ...]
    next_cursor: str = ""
    query_truncated: bool = False
