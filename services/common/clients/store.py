"""The store, as its callers use it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import fields

from google.protobuf.field_mask_pb2 import FieldMask

from services.common import convert
from services.common.clients.channel import Client, Page
from services.common.media import Scene, StoreStats, Vector, Video
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking
from videosearch.v1 import store_pb2, store_pb2_grpc

PUT_TIMEOUT_S = 60.0
"""A hundred times what the longest video takes."""


class StoreClient(Client["store_pb2_grpc.StoreServiceAsyncStub"]):
    service = "videosearch.v1.StoreService"
    stub_type = store_pb2_grpc.StoreServiceStub

    async def put_video(self, video: Video, scenes: Sequence[Scene]) -> Video:
        """Write a video whole, replacing what was there under its id; return it as stored."""
        response = await self._call(self._stub.PutVideo, _put_messages(video, scenes), PUT_TIMEOUT_S)
        return convert.video_from(response.video)

    async def video(self, video_id: str) -> Video:
        response = await self._call(self._stub.GetVideo, store_pb2.GetVideoRequest(video_id=video_id))
        return convert.video_from(response.video)

    async def videos(self, page_size: int = 0, page_token: str = "") -> Page[Video]:
        request = store_pb2.ListVideosRequest(page_size=page_size, page_token=page_token)
        response = await self._call(self._stub.ListVideos, request)
        return Page(tuple(map(convert.video_from, response.videos)), response.next_page_token)

    async def update_video(self, video: Video, fields: Sequence[str]) -> Video:
        """Change fields ("uri", "title", "metadata") of the video of that id to those of `video`."""
        mask = FieldMask(paths=fields)
        request = store_pb2.UpdateVideoRequest(video=convert.video_to(video), update_mask=mask)
        response = await self._call(self._stub.UpdateVideo, request)
        return convert.video_from(response.video)

    async def delete_video(self, video_id: str) -> None:
        await self._call(self._stub.DeleteVideo, store_pb2.DeleteVideoRequest(video_id=video_id))

    async def scenes(self, video_id: str, page_size: int = 0, page_token: str = "") -> Page[Scene]:
        """Scenes whose samples have no vectors."""
        request = store_pb2.ListScenesRequest(video_id=video_id, page_size=page_size, page_token=page_token)
        response = await self._call(self._stub.ListScenes, request)
        return Page(tuple(map(convert.scene_from, response.scenes)), response.next_page_token)

    async def find_scenes(self, query: Vector, model: str, ranking: SceneRanking) -> RankedScenes:
        request = store_pb2.FindScenesRequest(
            query=convert.embedding_to(query, model), **convert.scene_ranking_to(ranking)
        )
        response = await self._call(self._stub.FindScenes, request)
        return convert.ranked_scenes_from(response)

    async def find_videos(self, query: Vector, model: str, ranking: VideoRanking) -> RankedVideos:
        request = store_pb2.FindVideosRequest(
            query=convert.embedding_to(query, model), **convert.video_ranking_to(ranking)
        )
        response = await self._call(self._stub.FindVideos, request)
        return convert.ranked_videos_from(response)

    async def stats(self) -> StoreStats:
        response = await self._call(self._stub.GetStats, store_pb2.GetStatsRequest())
        return StoreStats(**{field.name: getattr(response, field.name) for field in fields(StoreStats)})


async def _put_messages(video: Video, scenes: Sequence[Scene]) -> AsyncIterator[store_pb2.PutVideoRequest]:
    yield store_pb2.PutVideoRequest(video=convert.video_to(video))
    for scene in scenes:
        yield store_pb2.PutVideoRequest(scene=convert.scene_to(scene, video.model))
