"""What a ranking is asked for: counts, filters and scorings."""

from typing import Any, TypeAlias

from services.common.convert.media import metadata_from, video_id_from
from services.common.convert.values import count_from, enum_from, enum_to
from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, VideoFilter, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from videosearch.v1 import media_pb2, search_pb2, store_pb2

MAX_FILTER_IDS = 1000
MAX_TOP_K, DEFAULT_TOP_K = 1000, 10
MAX_SCENES_PER_VIDEO, DEFAULT_SCENES_PER_VIDEO = 100, 3

SCENE_SCORING = {
    media_pb2.SCENE_SCORING_BEST: SceneScoring.BEST,
    media_pb2.SCENE_SCORING_MEAN: SceneScoring.MEAN,
}
VIDEO_SCORING = {
    media_pb2.VIDEO_SCORING_BEST: VideoScoring.BEST,
    media_pb2.VIDEO_SCORING_MEAN: VideoScoring.MEAN,
}


def filter_to(video_filter: VideoFilter) -> media_pb2.VideoFilter:
    return media_pb2.VideoFilter(video_ids=sorted(video_filter.video_ids), metadata=video_filter.metadata)


def filter_from(video_filter: media_pb2.VideoFilter) -> VideoFilter:
    if len(video_filter.video_ids) > MAX_FILTER_IDS:
        raise InvalidInputError(f"filter.video_ids has {len(video_filter.video_ids)}; at most {MAX_FILTER_IDS}")
    return VideoFilter(
        video_ids=frozenset(video_id_from(video_id) for video_id in video_filter.video_ids),
        metadata=metadata_from(video_filter.metadata),
    )


SceneRankingRequest: TypeAlias = store_pb2.FindScenesRequest | search_pb2.SearchScenesRequest
VideoRankingRequest: TypeAlias = store_pb2.FindVideosRequest | search_pb2.SearchVideosRequest


def scene_ranking_from(request: SceneRankingRequest) -> SceneRanking:
    scenes_per_video = request.scenes_per_video if request.HasField("scenes_per_video") else None
    if scenes_per_video is not None and scenes_per_video < 1:
        raise InvalidInputError(f"scenes_per_video is {scenes_per_video}; it must be 1 or more")
    return SceneRanking(
        _top_k_from(request), scenes_per_video, filter_from(request.filter), _scene_scoring_from(request)
    )


def video_ranking_from(request: VideoRankingRequest) -> VideoRanking:
    scenes_per_video = request.scenes_per_video if request.HasField("scenes_per_video") else DEFAULT_SCENES_PER_VIDEO
    video_scoring = request.video_scoring if request.HasField("video_scoring") else media_pb2.VIDEO_SCORING_BEST
    return VideoRanking(
        _top_k_from(request),
        count_from(scenes_per_video, 0, MAX_SCENES_PER_VIDEO, "scenes_per_video"),
        filter_from(request.filter),
        _scene_scoring_from(request),
        enum_from(VIDEO_SCORING, video_scoring, "video_scoring"),
    )


def _top_k_from(request: SceneRankingRequest | VideoRankingRequest) -> int:
    return count_from(request.top_k, 1, MAX_TOP_K, "top_k") if request.HasField("top_k") else DEFAULT_TOP_K


def _scene_scoring_from(request: SceneRankingRequest | VideoRankingRequest) -> SceneScoring:
    number = request.scene_scoring if request.HasField("scene_scoring") else media_pb2.SCENE_SCORING_BEST
    return enum_from(SCENE_SCORING, number, "scene_scoring")


def scene_ranking_to(ranking: SceneRanking) -> dict[str, Any]:
    """The ranking's fields of a FindScenesRequest or SearchScenesRequest."""
    return {
        "top_k": ranking.top_k,
        "scenes_per_video": ranking.scenes_per_video,
        "filter": filter_to(ranking.video_filter),
        "scene_scoring": enum_to(SCENE_SCORING, ranking.scene_scoring),
    }


def video_ranking_to(ranking: VideoRanking) -> dict[str, Any]:
    """The ranking's fields of a FindVideosRequest or SearchVideosRequest."""
    return {
        "top_k": ranking.top_k,
        "scenes_per_video": ranking.scenes_per_video,
        "filter": filter_to(ranking.video_filter),
        "scene_scoring": enum_to(SCENE_SCORING, ranking.scene_scoring),
        "video_scoring": enum_to(VIDEO_SCORING, ranking.video_scoring),
    }
