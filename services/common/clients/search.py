"""The search service, as its callers use it."""

from typing import NamedTuple

from services.common import convert
from services.common.clients.channel import Client
from services.common.media import SceneHit, Video, VideoHit
from services.common.ranking import SceneRanking, VideoRanking
from videosearch.v1 import search_pb2, search_pb2_grpc


class VideoResults(NamedTuple):
    hits: tuple[VideoHit, ...]
    query_truncated: bool


class SceneResults(NamedTuple):
    hits: tuple[SceneHit, ...]
    videos: tuple[Video, ...]
    """The videos of the hits, each once."""
    query_truncated: bool


class SearchClient(Client):
    service = "videosearch.v1.SearchService"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._stub: search_pb2_grpc.SearchServiceAsyncStub = search_pb2_grpc.SearchServiceStub(self._channel)

    async def search_videos(self, text: str, ranking: VideoRanking) -> VideoResults:
        request = search_pb2.SearchVideosRequest(text=text, **convert.video_ranking_to(ranking))
        response = await self._call(self._stub.SearchVideos, request)
        return VideoResults(tuple(map(convert.video_hit_from, response.hits)), response.query_truncated)

    async def search_scenes(self, text: str, ranking: SceneRanking) -> SceneResults:
        request = search_pb2.SearchScenesRequest(text=text, **convert.scene_ranking_to(ranking))
        response = await self._call(self._stub.SearchScenes, request)
        return SceneResults(
            tuple(map(convert.scene_hit_from, response.hits)),
            tuple(map(convert.video_from, response.videos)),
            response.query_truncated,
        )
