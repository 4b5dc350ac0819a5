"""The RPCs of search.proto."""

from services.common.convert import ranked_scenes_to, ranked_videos_to, scene_ranking_from, video_ranking_from
from services.common.interceptors import Context
from services.search import convert
from services.search.query import Search
from videosearch.v1 import search_pb2, search_pb2_grpc


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    def __init__(self, search: Search) -> None:
        self._search = search

    async def SearchVideos(
        self, request: search_pb2.SearchVideosRequest, context: Context
    ) -> search_pb2.SearchVideosResponse:
        found = await self._search.videos(convert.text_from(request.text), video_ranking_from(request))
        return search_pb2.SearchVideosResponse(hits=ranked_videos_to(found).hits, query_truncated=found.query_truncated)

    async def SearchScenes(
        self, request: search_pb2.SearchScenesRequest, context: Context
    ) -> search_pb2.SearchScenesResponse:
        found = await self._search.scenes(convert.text_from(request.text), scene_ranking_from(request))
        scenes = ranked_scenes_to(found)
        return search_pb2.SearchScenesResponse(
            hits=scenes.hits, videos=scenes.videos, query_truncated=found.query_truncated
        )
