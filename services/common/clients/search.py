"""The search service, as its callers use it."""

from services.common import convert
from services.common.clients.channel import Client
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking
from videosearch.v1 import search_pb2, search_pb2_grpc


class SearchClient(Client["search_pb2_grpc.SearchServiceAsyncStub"]):
    service = "videosearch.v1.SearchService"
    stub_type = search_pb2_grpc.SearchServiceStub

    async def search_videos(self, text: str, ranking: VideoRanking) -> RankedVideos:
        request = search_pb2.SearchVideosRequest(text=text, **convert.video_ranking_to(ranking))
        response = await self._call(self._stub.SearchVideos, request)
        return convert.ranked_videos_from(response, query_truncated=response.query_truncated)

    async def search_scenes(self, text: str, ranking: SceneRanking) -> RankedScenes:
        request = search_pb2.SearchScenesRequest(text=text, **convert.scene_ranking_to(ranking))
        response = await self._call(self._stub.SearchScenes, request)
        return convert.ranked_scenes_from(response, query_truncated=response.query_truncated)
