"""The store, as its callers use it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import fields

from google.protobuf.field_mask_pb2 import FieldMask

from services.common import convert
from services.common.clients.channel import Client, Page
from services.common.media import Matrix, Scene, StoreStats, Thumbnail, TimelinePoint, Video
from services.common.ranking import Query, RankedScenes, RankedVideos, SceneRanking, VideoRanking
from videosearch.v1 import store_pb2, store_pb2_grpc

PUT_TIMEOUT_S = 300.0
"""Ten times what the longest video takes, with as many images as it may have."""

SWITCH_TIMEOUT_S = 1800.0
"""The store reads all embeddings meanwhile."""


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

    async def scenes(
        self, video_id: str, page_size: int = 0, page_token: str = "", *, include_images: bool = False
    ) -> Page[Scene]:
        """Scenes whose samples have no vectors."""
        request = store_pb2.ListScenesRequest(
            video_id=video_id, page_size=page_size, page_token=page_token, include_images=include_images
        )
        response = await self._call(self._stub.ListScenes, request)
        return Page(tuple(map(convert.scene_from, response.scenes)), response.next_page_token)

    async def find_scenes(self, query: Query, ranking: SceneRanking) -> RankedScenes:
        return convert.ranked_scenes_from(await self.find_scenes_message(query, ranking))

    async def find_scenes_message(self, query: Query, ranking: SceneRanking) -> store_pb2.FindScenesResponse:
        """As `find_scenes`, for those who only pass on what was found."""
        asked = convert.scene_ranking_to(ranking)
        request = store_pb2.FindScenesRequest(parts=convert.parts_to(query), **asked)
        return await self._call(self._stub.FindScenes, request)

    async def find_videos(self, query: Query, ranking: VideoRanking) -> RankedVideos:
        response = await self.find_videos_message(query, ranking)
        return convert.ranked_videos_from(response, next_cursor=response.next_cursor)

    async def find_videos_message(self, query: Query, ranking: VideoRanking) -> store_pb2.FindVideosResponse:
        """As `find_videos`, for those who only pass on what was found."""
        asked = convert.video_ranking_to(ranking) | {"diversity": ranking.diversity}
        request = store_pb2.FindVideosRequest(parts=convert.parts_to(query), **asked)
        return await self._call(self._stub.FindVideos, request)

    async def timeline(self, video_id: str, query: Query) -> tuple[TimelinePoint, ...]:
        """How well each of the video's sampled frames fits the query, in order of time."""
        return convert.timeline_from((await self.timeline_message(video_id, query)).points)

    async def timeline_message(self, video_id: str, query: Query) -> store_pb2.ScoreTimelineResponse:
        """As `timeline`, for those who only pass it on."""
        request = store_pb2.ScoreTimelineRequest(video_id=video_id, parts=convert.parts_to(query))
        return await self._call(self._stub.ScoreTimeline, request)

    async def thumbnail(self, video_id: str, ordinal: int, offset_ns: int | None = None) -> Thumbnail:
        """Of the images kept of a scene, the one nearest to the offset, or to the scene's middle."""
        offset = None if offset_ns is None else convert.duration_to(offset_ns)
        request = store_pb2.GetThumbnailRequest(video_id=video_id, ordinal=ordinal, offset=offset)
        response = await self._call(self._stub.GetThumbnail, request)
        return Thumbnail(response.image, convert.duration_from(response.offset, "offset"))

    async def put_embeddings(
        self, video: Video, model: str, scenes: Sequence[Matrix], *, discard: bool = False
    ) -> None:
        """Keep another model's embeddings of a video beside those that are searched, a matrix for each scene."""
        messages = _embeddings_messages(video, model, scenes, discard=discard)
        await self._call(self._stub.PutEmbeddings, messages, PUT_TIMEOUT_S)

    async def missing_embeddings(self, model: str, page_size: int = 0, page_token: str = "") -> Page[Video]:
        """The videos of which no embeddings of the model are kept."""
        request = store_pb2.ListMissingEmbeddingsRequest(model=model, page_size=page_size, page_token=page_token)
        response = await self._call(self._stub.ListMissingEmbeddings, request)
        return Page(tuple(map(convert.video_from, response.videos)), response.next_page_token)

    async def switch_model(self, model: str) -> int:
        """Let the embeddings that are kept of a model be searched from now on; return of how many videos."""
        request = store_pb2.SwitchModelRequest(model=model)
        response = await self._call(self._stub.SwitchModel, request, SWITCH_TIMEOUT_S)
        return response.video_count

    async def backup(self) -> AsyncIterator[bytes]:
        """All that the store holds now, in pieces: a file that `videosearch store restore` reads."""
        async with aclosing(self._stream(self._stub.Backup, store_pb2.BackupRequest())) as responses:
            async for response in responses:
                yield response.data

    async def stats(self) -> StoreStats:
        response = await self._call(self._stub.GetStats, store_pb2.GetStatsRequest())
        return StoreStats(**{field.name: getattr(response, field.name) for field in fields(StoreStats)})


async def _put_messages(video: Video, scenes: Sequence[Scene]) -> AsyncIterator[store_pb2.PutVideoRequest]:
    yield store_pb2.PutVideoRequest(video=convert.video_to(video))
    for scene in scenes:
        yield store_pb2.PutVideoRequest(scene=convert.scene_to(scene, video.model))


async def _embeddings_messages(
    video: Video, model: str, scenes: Sequence[Matrix], *, discard: bool
) -> AsyncIterator[store_pb2.PutEmbeddingsRequest]:
    index_time = convert.video_to(video).index_time
    header = store_pb2.EmbeddingsHeader(video_id=video.video_id, index_time=index_time, model=model, discard=discard)
    yield store_pb2.PutEmbeddingsRequest(header=header)
    for matrix in scenes:
        embeddings = [convert.embedding_to(vector, model) for vector in matrix]
        yield store_pb2.PutEmbeddingsRequest(scene=store_pb2.SceneEmbeddings(embeddings=embeddings))
