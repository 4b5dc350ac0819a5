"""The store, as its callers use it."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from services.common import convert
from services.common.clients.channel import Client
from services.common.media import Scene, SceneHit, Vector, Video, VideoHit
from services.common.ranking import SceneRanking, VideoRanking
from videosearch.v1 import store_pb2, store_pb2_grpc

PUT_TIMEOUT_S = 300.0


class StoreStats(NamedTuple):
    video_count: int
    scene_count: int
    sample_count: int
    model: str
    """Fingerprint of the embeddings' model; empty while the store is."""
    dimension: int
    disk_size_bytes: int


class VideoPage(NamedTuple):
    videos: tuple[Video, ...]
    next_page_token: str


class ScenePage(NamedTuple):
    scenes: tuple[Scene, ...]
    """Their samples have no vectors."""
    next_page_token: str


class SceneHits(NamedTuple):
    hits: tuple[SceneHit, ...]
    videos: tuple[Video, ...]
    """The videos of the hits, each once."""


class StoreClient(Client):
    service = "videosearch.v1.StoreService"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._stub: store_pb2_grpc.StoreServiceAsyncStub = store_pb2_grpc.StoreServiceStub(self._channel)

    async def put_video(self, video: Video, scenes: Sequence[Scene]) -> Video:
        """Write a video whole, replacing what was there under its id; return it as stored."""
        response = await self._call(self._stub.PutVideo, _put_messages(video, scenes), PUT_TIMEOUT_S)
        return convert.video_from(response.video)

    async def video(self, video_id: str) -> Video:
        response = await self._call(self._stub.GetVideo, store_pb2.GetVideoRequest(video_id=video_id))
        return convert.video_from(response.video)

    async def videos(self, page_size: int = 0, page_token: str = "") -> VideoPage:
        request = store_pb2.ListVideosRequest(page_size=page_size, page_token=page_token)
        response = await self._call(self._stub.ListVideos, request)
        return VideoPage(tuple(map(convert.video_from, response.videos)), response.next_page_token)

    async def delete_video(self, video_id: str) -> None:
        await self._call(self._stub.DeleteVideo, store_pb2.DeleteVideoRequest(video_id=video_id))

    async def scenes(self, video_id: str, page_size: int = 0, page_token: str = "") -> ScenePage:
        request = store_pb2.ListScenesRequest(video_id=video_id, page_size=page_size, page_token=page_token)
        response = await self._call(self._stub.ListScenes, request)
        return ScenePage(tuple(map(convert.scene_from, response.scenes)), response.next_page_token)

    async def find_scenes(self, query: Vector, model: str, ranking: SceneRanking) -> SceneHits:
        request = store_pb2.FindScenesRequest(
            query=convert.embedding_to(query, model), **convert.scene_ranking_to(ranking)
        )
        response = await self._call(self._stub.FindScenes, request)
        return SceneHits(
            tuple(map(convert.scene_hit_from, response.hits)), tuple(map(convert.video_from, response.videos))
        )

    async def find_videos(self, query: Vector, model: str, ranking: VideoRanking) -> tuple[VideoHit, ...]:
        request = store_pb2.FindVideosRequest(
            query=convert.embedding_to(query, model), **convert.video_ranking_to(ranking)
        )
        response = await self._call(self._stub.FindVideos, request)
        return tuple(map(convert.video_hit_from, response.hits))

    async def stats(self) -> StoreStats:
        response = await self._call(self._stub.GetStats, store_pb2.GetStatsRequest())
        return StoreStats(
            response.video_count,
            response.scene_count,
            response.sample_count,
            response.model,
            response.dimension,
            response.disk_size_bytes,
        )


async def _put_messages(video: Video, scenes: Sequence[Scene]) -> AsyncIterator[store_pb2.PutVideoRequest]:
    yield store_pb2.PutVideoRequest(video=convert.video_to(video))
    for scene in scenes:
        yield store_pb2.PutVideoRequest(scene=convert.scene_to(scene, video.model))
