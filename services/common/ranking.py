"""What a ranking of scenes or videos can be asked for, whoever answers it."""

from dataclasses import dataclass

from services.common.media import SceneScoring, VideoFilter, VideoScoring


@dataclass(frozen=True, slots=True)
class SceneRanking:
    top_k: int = 10
    scenes_per_video: int | None = None
    """None means no limit."""
    video_filter: VideoFilter = VideoFilter()
    scene_scoring: SceneScoring = SceneScoring.BEST


@dataclass(frozen=True, slots=True)
class VideoRanking:
    top_k: int = 10
    scenes_per_video: int = 3
    """Scenes returned with each video; may be 0."""
    video_filter: VideoFilter = VideoFilter()
    scene_scoring: SceneScoring = SceneScoring.BEST
    video_scoring: VideoScoring = VideoScoring.BEST
