"""Rankings: what is asked for, with counts, filters and scorings, and what is found."""

from typing import Any, TypeAlias

from services.common.convert.media import (
    metadata_from,
    scene_hit_from,
    scene_hit_to,
    video_from,
    video_hit_from,
    video_hit_to,
    video_id_from,
    video_to,
)
from services.common.convert.values import count_from, enum_from, enum_to
from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, VideoFilter, VideoScoring
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking
from videosearch.v1 import media_pb2, search_pb2, store_pb2

MAX_FILTER_IDS = 1000
MAX_TOP_K = 1000
MAX_SCENES_PER_VIDEO = 100

SCENE_SCORING = {
    media_pb2.SCENE_SCORING_BEST: SceneScoring.BEST,
    media_pb2.SCENE_SCORING_MEAN: SceneScoring.MEAN,
}
VIDEO_SCORING = {
    media_pb2.VIDEO_SCORING_BEST: VideoScoring.BEST,
    media_pb2.VIDEO_SCORING_MEAN: VideoScoring.MEAN,
}

SceneRankingRequest: TypeAlias = store_pb2.FindScenesRequest | search_pb2.SearchScenesRequest
VideoRankingRequest: TypeAlias = store_pb2.FindVideosRequest | search_pb2.SearchVideosRequest


def filter_to(video_filter: VideoFilter) -> media_pb2.VideoFilter:
    return media_pb2.VideoFilter(video_ids=sorted(video_filter.video_ids), metadata=video_filter.metadata)


def filter_from(video_filter: media_pb2.VideoFilter) -> VideoFilter:
    if len(video_filter.video_ids) > MAX_FILTER_IDS:
        raise InvalidInputError(f"filter.video_ids has {len(video_filter.video_ids)}; at most {MAX_FILTER_IDS}")
    return VideoFilter(
        video_ids=frozenset(video_id_from(video_id) for video_id in video_filter.video_ids),
        metadata=metadata_from(video_filter.metadata),
    )


def scene_ranking_from(request: SceneRankingRequest) -> SceneRanking:
    asked = _asked(request)
    if request.HasField("scenes_per_video"):
        if request.scenes_per_video < 1:
            raise InvalidInputError(f"scenes_per_video is {request.scenes_per_video}; it must be 1 or more")
        asked["scenes_per_video"] = request.scenes_per_video
    return SceneRanking(**asked)


def video_ranking_from(request: VideoRankingRequest) -> VideoRanking:
    asked = _asked(request)
    if request.HasField("scenes_per_video"):
        count = count_from(request.scenes_per_video, 0, MAX_SCENES_PER_VIDEO, "scenes_per_video")
        asked["scenes_per_video"] = count
    if request.HasField("video_scoring"):
        asked["video_scoring"] = enum_from(VIDEO_SCORING, request.video_scoring, "video_scoring")
    return VideoRanking(**asked)


def _asked(request: SceneRankingRequest | VideoRankingRequest) -> dict[str, Any]:
    """What both kinds of ranking have; what is unset has its default."""
    asked: dict[str, Any] = {"video_filter": filter_from(request.filter)}
    if request.HasField("top_k"):
        asked["top_k"] = count_from(request.top_k, 1, MAX_TOP_K, "top_k")
    if request.HasField("scene_scoring"):
        asked["scene_scoring"] = enum_from(SCENE_SCORING, request.scene_scoring, "scene_scoring")
    return asked


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
    return {**scene_ranking_to(ranking), "video_scoring": enum_to(VIDEO_SCORING, ranking.video_scoring)}


def ranked_scenes_to(found: RankedScenes) -> dict[str, Any]:
    """The fields that a FindScenesResponse and a SearchScenesResponse share."""
    return {"hits": map(scene_hit_to, found.hits), "videos": map(video_to, found.videos)}


def ranked_scenes_from(
    response: store_pb2.FindScenesResponse | search_pb2.SearchScenesResponse, *, query_truncated: bool = False
) -> RankedScenes:
    hits, videos = map(scene_hit_from, response.hits), map(video_from, response.videos)
    return RankedScenes(tuple(hits), tuple(videos), query_truncated)


def ranked_videos_to(found: RankedVideos) -> dict[str, Any]:
    """The fields that a FindVideosResponse and a SearchVideosResponse share."""
    return {"hits": map(video_hit_to, found.hits)}


def ranked_videos_from(
    response: store_pb2.FindVideosResponse | search_pb2.SearchVideosResponse, *, query_truncated: bool = False
) -> RankedVideos:
    return RankedVideos(tuple(map(video_hit_from, response.hits)), query_truncated)
