"""Rankings of scenes and videos, whoever makes them: what can be asked for, and what comes back."""

from dataclasses import dataclass

from services.common.media import SceneHit, SceneScoring, Video, VideoFilter, VideoHit, VideoScoring


@dataclass(frozen=True, slots=True)
class SceneRanking:
    top_k: int = 10
    scenes_per_video: int | None = None
    """None means no limit."""
    video_filter: VideoFilter = VideoFilter()
    scene_scoring: SceneScoring = SceneScoring.BEST


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
    query_truncated: bool = False
    """Whether the text was longer than the model reads."""


@dataclass(frozen=True, slots=True)
class RankedVideos:
    hits: tuple[VideoHit, ...]
    query_truncated: bool = False
