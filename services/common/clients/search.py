"""The search service, as its callers use it."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from services.common import convert
from services.common.clients.channel import Client
from services.common.ranking import (
    Description,
    RankedScenes,
    RankedVideos,
    SceneRanking,
    StoredPart,
    Timeline,
    VideoRanking,
)
from videosearch.v1 import search_pb2, search_pb2_grpc


class SearchClient(Client["search_pb2_grpc.SearchServiceAsyncStub"]):
    """What is to be found is a text or a description; `video_fields` are those wanted of videos, none meaning all."""

    service = "videosearch.v1.SearchService"
    stub_type = search_pb2_grpc.SearchServiceStub

    async def search_videos(
        self, wanted: str | Description, ranking: VideoRanking, video_fields: Sequence[str] = ()
    ) -> RankedVideos:
        request = search_pb2.SearchVideosRequest(
            **_wanted(wanted), **convert.video_ranking_to(ranking), video_fields=_mask(video_fields)
        )
        response = await self._call(self._stub.SearchVideos, request)
        return convert.ranked_videos_from(
            response, next_cursor=response.next_cursor, query_truncated=response.query_truncated
        )

    async def search_scenes(
        self, wanted: str | Description, ranking: SceneRanking, video_fields: Sequence[str] = ()
    ) -> RankedScenes:
        request = search_pb2.SearchScenesRequest(
            **_wanted(wanted), **convert.scene_ranking_to(ranking), video_fields=_mask(video_fields)
        )
        response = await self._call(self._stub.SearchScenes, request)
        return convert.ranked_scenes_from(response, query_truncated=response.query_truncated)

    async def recommend_videos(
        self,
        liked: Sequence[StoredPart],
        disliked: Sequence[StoredPart],
        ranking: VideoRanking,
        video_fields: Sequence[str] = (),
    ) -> RankedVideos:
        """Weights do not count; of the ranking, only what RecommendVideosRequest has."""
        request = search_pb2.RecommendVideosRequest(
            liked=map(convert.example_to, liked),
            disliked=map(convert.example_to, disliked),
            **convert.recommendation_ranking_to(ranking),
            video_fields=_mask(video_fields),
        )
        return convert.ranked_videos_from(await self._call(self._stub.RecommendVideos, request))

    async def timeline(self, video_id: str, wanted: str | Description) -> Timeline:
        request = search_pb2.SearchServiceScoreTimelineRequest(video_id=video_id, **_wanted(wanted))
        response = await self._call(self._stub.ScoreTimeline, request)
        return Timeline(convert.timeline_from(response.points), response.query_truncated)


def _wanted(wanted: str | Description) -> dict[str, Any]:
    return {"text": wanted} if isinstance(wanted, str) else {"parts": convert.description_to(wanted)}


def _mask(fields: Sequence[str]) -> FieldMask | None:
    return FieldMask(paths=fields) if fields else None
