"""Rankings: what is asked for, with counts, filters and scorings, and what is found."""

import math
from typing import Any, TypeAlias

from services.common.convert.conditions import filter_from, filter_to
from services.common.convert.media import (
    scene_hit_from,
    scene_hit_to,
    segment_from,
    segment_to,
    video_from,
    video_hit_from,
    video_hit_to,
    video_to,
)
from services.common.convert.values import count_from, enum_from, enum_to
from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, VideoScoring
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking
from videosearch.v1 import media_pb2, search_pb2, store_pb2

MAX_TOP_K = 1000
MAX_SCENES_PER_VIDEO = 100

SCENE_SCORING = {
    media_pb2.SCENE_SCORING_BEST: SceneScoring.BEST,
    media_pb2.SCENE_SCORING_MEAN: SceneScoring.MEAN,
    media_pb2.SCENE_SCORING_SOFTMAX: SceneScoring.SOFTMAX,
}
VIDEO_SCORING = {
    media_pb2.VIDEO_SCORING_BEST: VideoScoring.BEST,
    media_pb2.VIDEO_SCORING_MEAN: VideoScoring.MEAN,
}

StoreRequest: TypeAlias = store_pb2.FindScenesRequest | store_pb2.FindVideosRequest
SceneRankingRequest: TypeAlias = store_pb2.FindScenesRequest | search_pb2.SearchScenesRequest
VideoRankingRequest: TypeAlias = store_pb2.FindVideosRequest | search_pb2.SearchVideosRequest


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
    if isinstance(request, StoreRequest):
        asked |= _asked_of_store(request)
    return asked


def _asked_of_store(request: StoreRequest) -> dict[str, Any]:
    """What only the store's requests have."""
    asked: dict[str, Any] = {"cursor": request.cursor}
    if request.HasField("softmax_temperature"):
        if request.scene_scoring != media_pb2.SCENE_SCORING_SOFTMAX:
            raise InvalidInputError("softmax_temperature has no meaning without scene_scoring SCENE_SCORING_SOFTMAX")
        if not 0 < request.softmax_temperature < math.inf:
            raise InvalidInputError(
                f"softmax_temperature is {request.softmax_temperature}; it must be finite and greater than 0"
            )
        asked["softmax_temperature"] = request.softmax_temperature
    if request.HasField("time_window"):
        asked["time_window"] = segment_from(request.time_window, "time_window")
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


def store_ranking_to(ranking: SceneRanking) -> dict[str, Any]:
    """Those of the ranking's fields that only a FindScenesRequest and a FindVideosRequest have."""
    softmax = ranking.scene_scoring is SceneScoring.SOFTMAX
    return {
        "softmax_temperature": ranking.softmax_temperature if softmax else None,
        "time_window": segment_to(ranking.time_window) if ranking.time_window else None,
        "cursor": ranking.cursor,
    }


def ranked_scenes_to(found: RankedScenes) -> dict[str, Any]:
    """The fields that a FindScenesResponse and a SearchScenesResponse share."""
    return {"hits": map(scene_hit_to, found.hits), "videos": map(video_to, found.videos)}


def ranked_scenes_from(
    response: store_pb2.FindScenesResponse | search_pb2.SearchScenesResponse,
    *,
    next_cursor: str = "",
    query_truncated: bool = False,
) -> RankedScenes:
    """Given what only one of the responses has."""
    hits, videos = map(scene_hit_from, response.hits), map(video_from, response.videos)
    return RankedScenes(tuple(hits), tuple(videos), next_cursor, query_truncated)


def ranked_videos_to(found: RankedVideos) -> dict[str, Any]:
    """The fields that a FindVideosResponse and a SearchVideosResponse share."""
    return {"hits": map(video_hit_to, found.hits)}


def ranked_videos_from(
    response: store_pb2.FindVideosResponse | search_pb2.SearchVideosResponse,
    *,
    next_cursor: str = "",
    query_truncated: bool = False,
) -> RankedVideos:
    """Given what only one of the responses has."""
    return RankedVideos(tuple(map(video_hit_from, response.hits)), next_cursor, query_truncated)
