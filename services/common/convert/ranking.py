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
from services.common.ranking import FilteredCounts, RankedScenes, RankedVideos, SceneRanking, VideoRanking
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
    media_pb2.VIDEO_SCORING_TOP_MEAN: VideoScoring.TOP_MEAN,
}

SceneRankingRequest: TypeAlias = store_pb2.FindScenesRequest | search_pb2.SearchScenesRequest
VideoRankingRequest: TypeAlias = store_pb2.FindVideosRequest | search_pb2.SearchVideosRequest
ScenesResponse: TypeAlias = store_pb2.FindScenesResponse | search_pb2.SearchScenesResponse
VideosResponse: TypeAlias = (
    store_pb2.FindVideosResponse | search_pb2.SearchVideosResponse | search_pb2.RecommendVideosResponse
)


def scene_ranking_from(request: SceneRankingRequest) -> SceneRanking:
    asked = _asked(request)
    if request.HasField("scenes_per_video"):
        if request.scenes_per_video < 1:
            raise InvalidInputError(f"scenes_per_video is {request.scenes_per_video}; it must be 1 or more")
        asked["scenes_per_video"] = request.scenes_per_video
    return SceneRanking(**asked)


def video_ranking_from(request: VideoRankingRequest) -> VideoRanking:
    asked = _asked(request) | _videos_asked(request)
    if request.HasField("video_scoring"):
        asked["video_scoring"] = enum_from(VIDEO_SCORING, request.video_scoring, "video_scoring")
    if request.HasField("top_scene_count"):
        if asked.get("video_scoring") is not VideoScoring.TOP_MEAN:
            raise InvalidInputError("top_scene_count has no meaning without video_scoring VIDEO_SCORING_TOP_MEAN")
        asked["top_scene_count"] = count_from(request.top_scene_count, 1, MAX_SCENES_PER_VIDEO, "top_scene_count")
    return VideoRanking(**asked)


def recommendation_ranking_from(request: search_pb2.RecommendVideosRequest) -> VideoRanking:
    """By as many best scenes as found most in `python -m bench recommend`: one may be like by chance, all never are."""
    return VideoRanking(**_videos_asked(request), video_scoring=VideoScoring.TOP_MEAN, top_scene_count=10)


def _videos_asked(request: VideoRankingRequest | search_pb2.RecommendVideosRequest) -> dict[str, Any]:
    """What rankings of videos have and recommendations too; what is unset has its default."""
    asked: dict[str, Any] = _asked_of_all(request)
    if request.HasField("scenes_per_video"):
        count = count_from(request.scenes_per_video, 0, MAX_SCENES_PER_VIDEO, "scenes_per_video")
        asked["scenes_per_video"] = count
    if not isinstance(request, search_pb2.SearchVideosRequest) and request.HasField("diversity"):
        if not 0 <= request.diversity <= 1:
            raise InvalidInputError(f"diversity is {request.diversity}; it must be 0 to 1")
        asked["diversity"] = request.diversity
    return asked


def _asked_of_all(
    request: SceneRankingRequest | VideoRankingRequest | search_pb2.RecommendVideosRequest,
) -> dict[str, Any]:
    """What all rankings have; what is unset has its default."""
    asked: dict[str, Any] = {
        "video_filter": filter_from(request.filter),
        "include_thumbnails": request.include_thumbnails,
    }
    if request.HasField("top_k"):
        asked["top_k"] = count_from(request.top_k, 1, MAX_TOP_K, "top_k")
    if request.HasField("duplicate_similarity"):
        asked["duplicate_similarity"] = _share_from(request.duplicate_similarity, "duplicate_similarity")
    return asked


def _asked(request: SceneRankingRequest | VideoRankingRequest) -> dict[str, Any]:
    """What rankings of scenes and of videos have; what is unset has its default."""
    asked = _asked_of_all(request) | {"cursor": request.cursor, "include_named": request.include_named}
    if request.HasField("scene_scoring"):
        asked["scene_scoring"] = enum_from(SCENE_SCORING, request.scene_scoring, "scene_scoring")
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
    return asked | _cutoffs(request)


def _cutoffs(request: SceneRankingRequest | VideoRankingRequest) -> dict[str, float]:
    asked = {}
    if request.HasField("min_score"):
        if not math.isfinite(request.min_score):
            raise InvalidInputError(f"min_score is {request.min_score}; it must be finite")
        asked["min_score"] = request.min_score
    if request.HasField("relative_cutoff"):
        asked["relative_cutoff"] = _share_from(request.relative_cutoff, "relative_cutoff")
    if request.HasField("merge_ratio"):
        asked["merge_ratio"] = _share_from(request.merge_ratio, "merge_ratio")
    return asked


def _share_from(value: float, field: str) -> float:
    if not 0 < value <= 1:
        raise InvalidInputError(f"{field} is {value}; it must be greater than 0, and at most 1")
    return value


def scene_ranking_to(ranking: SceneRanking) -> dict[str, Any]:
    """The ranking's fields of a FindScenesRequest or SearchScenesRequest."""
    softmax = ranking.scene_scoring is SceneScoring.SOFTMAX
    return {
        "top_k": ranking.top_k,
        "scenes_per_video": ranking.scenes_per_video,
        "filter": filter_to(ranking.video_filter),
        "scene_scoring": enum_to(SCENE_SCORING, ranking.scene_scoring),
        "softmax_temperature": ranking.softmax_temperature if softmax else None,
        "time_window": segment_to(ranking.time_window) if ranking.time_window else None,
        "cursor": ranking.cursor,
        "min_score": ranking.min_score,
        "relative_cutoff": ranking.relative_cutoff,
        "merge_ratio": ranking.merge_ratio,
        "duplicate_similarity": ranking.duplicate_similarity,
        "include_named": ranking.include_named,
        "include_thumbnails": ranking.include_thumbnails,
    }


def video_ranking_to(ranking: VideoRanking) -> dict[str, Any]:
    """The ranking's fields of a SearchVideosRequest, and but for `diversity` of a FindVideosRequest."""
    top_mean = ranking.video_scoring is VideoScoring.TOP_MEAN
    return {
        **scene_ranking_to(ranking),
        "video_scoring": enum_to(VIDEO_SCORING, ranking.video_scoring),
        "top_scene_count": ranking.top_scene_count if top_mean else None,
    }


def recommendation_ranking_to(ranking: VideoRanking) -> dict[str, Any]:
    """The ranking's fields that a RecommendVideosRequest has."""
    return {
        "top_k": ranking.top_k,
        "scenes_per_video": ranking.scenes_per_video,
        "filter": filter_to(ranking.video_filter),
        "diversity": ranking.diversity,
        "duplicate_similarity": ranking.duplicate_similarity,
        "include_thumbnails": ranking.include_thumbnails,
    }


def ranked_scenes_to(found: RankedScenes) -> store_pb2.FindScenesResponse:
    return store_pb2.FindScenesResponse(
        hits=map(scene_hit_to, found.hits),
        videos=map(video_to, found.videos),
        next_cursor=found.next_cursor,
        filtered=_counts_to(found.filtered),
    )


def ranked_scenes_from(response: ScenesResponse, *, query_truncated: bool = False) -> RankedScenes:
    """Given what only SearchScenes tells."""
    hits, videos = tuple(map(scene_hit_from, response.hits)), tuple(map(video_from, response.videos))
    return RankedScenes(hits, videos, response.next_cursor, _counts_from(response.filtered), query_truncated)


def ranked_videos_to(found: RankedVideos) -> store_pb2.FindVideosResponse:
    return store_pb2.FindVideosResponse(
        hits=map(video_hit_to, found.hits), next_cursor=found.next_cursor, filtered=_counts_to(found.filtered)
    )


def ranked_videos_from(
    response: VideosResponse, *, next_cursor: str = "", query_truncated: bool = False
) -> RankedVideos:
    """Given what recommendations do not tell."""
    hits = tuple(map(video_hit_from, response.hits))
    return RankedVideos(hits, next_cursor, _counts_from(response.filtered), query_truncated)


def _counts_to(counts: FilteredCounts) -> media_pb2.FilteredCounts:
    return media_pb2.FilteredCounts(
        video_count=counts.video_count,
        scene_count=counts.scene_count,
        low_score_count=counts.low_score_count,
        duplicate_count=counts.duplicate_count,
    )


def _counts_from(counts: media_pb2.FilteredCounts) -> FilteredCounts:
    return FilteredCounts(counts.video_count, counts.scene_count, counts.low_score_count, counts.duplicate_count)
