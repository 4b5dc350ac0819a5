"""The RPCs of search.proto."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.common.clients.store import StoreClient
from services.common.convert import (
    description_from,
    recommendation_ranking_from,
    scene_ranking_from,
    video_id_from,
    video_ranking_from,
)
from services.common.interceptors import Context
from services.common.ranking import Description, Query, SceneRanking, VideoRanking
from services.search import convert
from services.search.query import Found, Search, recommended
from services.search.shared import Shared
from videosearch.v1 import search_pb2, search_pb2_grpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Ranking = TypeVar("Ranking", SceneRanking, VideoRanking)


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    def __init__(self, search: Search, store: StoreClient) -> None:
        self._search = search
        self._store = store
        self._answering: Shared[tuple[type[Message], bytes], Any] = Shared()

    async def SearchVideos(
        self, request: search_pb2.SearchVideosRequest, context: Context
    ) -> search_pb2.SearchVideosResponse:
        return await self._once(request, self._videos)

    async def SearchScenes(
        self, request: search_pb2.SearchScenesRequest, context: Context
    ) -> search_pb2.SearchScenesResponse:
        return await self._once(request, self._scenes)

    async def RecommendVideos(
        self, request: search_pb2.RecommendVideosRequest, context: Context
    ) -> search_pb2.RecommendVideosResponse:
        return await self._once(request, self._recommendations)

    async def ScoreTimeline(
        self, request: search_pb2.SearchServiceScoreTimelineRequest, context: Context
    ) -> search_pb2.SearchServiceScoreTimelineResponse:
        return await self._once(request, self._timeline)

    async def _once(self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        """The same answer to all who ask the same thing at the same time."""
        key = (type(request), request.SerializeToString(deterministic=True))
        response: Response = await self._answering.result(key, lambda: answer(request))
        return response

    async def _videos(self, request: search_pb2.SearchVideosRequest) -> search_pb2.SearchVideosResponse:
        description, ranking = description_from(request), video_ranking_from(request)
        unwanted = convert.unwanted_from(request.video_fields)
        found = await self._found(description, request.cursor, ranking, self._store.find_videos_message)
        return convert.videos_response(found, unwanted)

    async def _scenes(self, request: search_pb2.SearchScenesRequest) -> search_pb2.SearchScenesResponse:
        description, ranking = description_from(request), scene_ranking_from(request)
        unwanted = convert.unwanted_from(request.video_fields)
        found = await self._found(description, request.cursor, ranking, self._store.find_scenes_message)
        return convert.scenes_response(found, unwanted)

    async def _found(
        self,
        description: Description,
        cursor: str,
        ranking: Ranking,
        find: Callable[[Query, Ranking], Awaitable[Response]],
    ) -> Found[Response]:
        """What a method of the store's client answers to a search, or for its next page."""
        return await self._search.find(
            description, cursor, lambda query, of_store: find(query, replace(ranking, cursor=of_store))
        )

    async def _recommendations(self, request: search_pb2.RecommendVideosRequest) -> search_pb2.RecommendVideosResponse:
        examples, ranking = convert.examples_from(request), recommendation_ranking_from(request)
        unwanted = convert.unwanted_from(request.video_fields)
        found = await recommended(examples, lambda query: self._store.find_videos_message(query, ranking))
        return convert.recommendations_response(found, unwanted)

    async def _timeline(
        self, request: search_pb2.SearchServiceScoreTimelineRequest
    ) -> search_pb2.SearchServiceScoreTimelineResponse:
        video_id, description = video_id_from(request.video_id), description_from(request)
        found = await self._search.find(description, "", lambda query, _: self._store.timeline_message(video_id, query))
        return convert.timeline_response(found)
