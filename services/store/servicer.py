"""StoreService on the wire."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import TypeVar

from google.protobuf.message import Message

from services.common import convert as common
from services.common.errors import UnavailableError
from services.common.interceptors import Context
from services.store import convert
from services.store.answers import A, Answers
from services.store.catalog import Catalog
from services.store.metrics import SEARCHES_WAITING, WRITES_WAITING
from services.store.workers import Workers
from videosearch.v1 import store_pb2, store_pb2_grpc

T = TypeVar("T")


class StoreServicer(store_pb2_grpc.StoreServiceServicer):
    """Answers UNAVAILABLE until it is given its catalog."""

    def __init__(self) -> None:
        self._opened: Catalog | None = None
        # Of their own, so that those that wait, or go on though their caller has gone, take no thread from other calls.
        self._writer = Workers("write", 1, WRITES_WAITING)
        self._searchers = Workers("search", os.cpu_count() or 1, SEARCHES_WAITING)
        self._scenes_answers: Answers[store_pb2.FindScenesResponse] = Answers()
        self._videos_answers: Answers[store_pb2.FindVideosResponse] = Answers()

    def use(self, catalog: Catalog) -> None:
        self._opened = catalog

    async def PutVideo(
        self, request_iterator: AsyncIterator[store_pb2.PutVideoRequest], context: Context
    ) -> store_pb2.PutVideoResponse:
        draft = await convert.draft_from(request_iterator)
        # In grpc.aio a cancelled stream may end as a complete one does. A word to the client tells them apart: if the
        # client has gone, this raises, and nothing is written.
        await context.send_initial_metadata(())
        put = await self._write(lambda: self._catalog.put(draft.finish()))
        return store_pb2.PutVideoResponse(video=common.video_to(put.video), replaced=put.replaced)

    async def GetVideo(self, request: store_pb2.GetVideoRequest, context: Context) -> store_pb2.GetVideoResponse:
        video = self._catalog.video(common.video_id_from(request.video_id))
        return store_pb2.GetVideoResponse(video=common.video_to(video))

    async def ListVideos(self, request: store_pb2.ListVideosRequest, context: Context) -> store_pb2.ListVideosResponse:
        after, limit = convert.after_video_from(request.page_token), common.page_size_from(request.page_size)

        def page() -> store_pb2.ListVideosResponse:
            videos, more = self._catalog.videos(after, limit)
            return convert.video_page_to(store_pb2.ListVideosResponse(), videos, more=more)

        return await asyncio.to_thread(page)

    async def UpdateVideo(
        self, request: store_pb2.UpdateVideoRequest, context: Context
    ) -> store_pb2.UpdateVideoResponse:
        video_id = common.video_id_from(request.video.video_id, "video.video_id")
        changes = convert.changes_from(request)
        video = await self._write(lambda: self._catalog.update(video_id, changes))
        return store_pb2.UpdateVideoResponse(video=common.video_to(video))

    async def DeleteVideo(
        self, request: store_pb2.DeleteVideoRequest, context: Context
    ) -> store_pb2.DeleteVideoResponse:
        video_id = common.video_id_from(request.video_id)
        await self._write(lambda: self._catalog.delete(video_id))
        return store_pb2.DeleteVideoResponse()

    async def ListScenes(self, request: store_pb2.ListScenesRequest, context: Context) -> store_pb2.ListScenesResponse:
        video_id = common.video_id_from(request.video_id)
        first = common.page_number_from(request.page_token, "ListScenes") or 0
        limit = common.page_size_from(request.page_size)

        def page() -> store_pb2.ListScenesResponse:
            scenes, more = self._catalog.scenes(video_id, first, limit, with_images=request.include_images)
            return convert.scene_page_to(scenes, more=more)

        return await asyncio.to_thread(page)

    async def FindScenes(self, request: store_pb2.FindScenesRequest, context: Context) -> store_pb2.FindScenesResponse:
        def answer() -> store_pb2.FindScenesResponse:
            found = self._catalog.find_scenes(common.query_from(request), common.scene_ranking_from(request))
            return common.ranked_scenes_to(found)

        return await self._once(request, answer, self._scenes_answers)

    async def FindVideos(self, request: store_pb2.FindVideosRequest, context: Context) -> store_pb2.FindVideosResponse:
        def answer() -> store_pb2.FindVideosResponse:
            found = self._catalog.find_videos(common.query_from(request), common.video_ranking_from(request))
            return common.ranked_videos_to(found)

        return await self._once(request, answer, self._videos_answers)

    async def ScoreTimeline(
        self, request: store_pb2.ScoreTimelineRequest, context: Context
    ) -> store_pb2.ScoreTimelineResponse:
        def answer() -> store_pb2.ScoreTimelineResponse:
            video_id, query = common.video_id_from(request.video_id), common.parts_from(request.parts)
            points = common.timeline_to(self._catalog.timeline(video_id, query))
            return store_pb2.ScoreTimelineResponse(points=points)

        return await self._search(answer)

    async def GetThumbnail(
        self, request: store_pb2.GetThumbnailRequest, context: Context
    ) -> store_pb2.GetThumbnailResponse:
        video_id = common.video_id_from(request.video_id)
        offset_ns = common.duration_from(request.offset, "offset") if request.HasField("offset") else None
        thumbnail = await asyncio.to_thread(self._catalog.thumbnail, video_id, request.ordinal, offset_ns)
        return store_pb2.GetThumbnailResponse(image=thumbnail.image, offset=common.duration_to(thumbnail.offset_ns))

    async def PutEmbeddings(
        self, request_iterator: AsyncIterator[store_pb2.PutEmbeddingsRequest], context: Context
    ) -> store_pb2.PutEmbeddingsResponse:
        draft = await convert.embeddings_from(request_iterator)
        await context.send_initial_metadata(())  # as in PutVideo
        await self._write(lambda: self._catalog.put_embeddings(draft))
        return store_pb2.PutEmbeddingsResponse()

    async def ListMissingEmbeddings(
        self, request: store_pb2.ListMissingEmbeddingsRequest, context: Context
    ) -> store_pb2.ListMissingEmbeddingsResponse:
        model, after = convert.model_from(request.model), convert.after_video_from(request.page_token)
        limit = common.page_size_from(request.page_size)

        def page() -> store_pb2.ListMissingEmbeddingsResponse:
            videos, more = self._catalog.missing_embeddings(model, after, limit)
            return convert.video_page_to(store_pb2.ListMissingEmbeddingsResponse(), videos, more=more)

        return await asyncio.to_thread(page)

    async def SwitchModel(
        self, request: store_pb2.SwitchModelRequest, context: Context
    ) -> store_pb2.SwitchModelResponse:
        model = convert.model_from(request.model)
        count = await self._write(lambda: self._catalog.switch_model(model))
        return store_pb2.SwitchModelResponse(video_count=count)

    async def Backup(
        self, request: store_pb2.BackupRequest, context: Context
    ) -> AsyncIterator[store_pb2.BackupResponse]:
        pieces = self._catalog.backup()
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield store_pb2.BackupResponse(data=piece)

    async def GetStats(self, request: store_pb2.GetStatsRequest, context: Context) -> store_pb2.GetStatsResponse:
        return store_pb2.GetStatsResponse(**asdict(await asyncio.to_thread(self._catalog.stats)))

    @property
    def _catalog(self) -> Catalog:
        if self._opened is None:
            raise UnavailableError("the store is loading its vectors; try again in a moment")
        return self._opened

    async def _write(self, change: Callable[[], T]) -> T:
        return await self._writer.do(change)

    async def _once(self, request: Message, answer: Callable[[], A], answers: Answers[A]) -> A:
        """The answer, or the same as before if nothing has changed since."""
        picture, key = self._catalog.index, request.SerializeToString(deterministic=True)
        known = answers.get(picture, key)
        if known is not None:
            return known
        response = await self._search(answer)
        if self._catalog.index is picture:  # else it may be of either
            answers.keep(picture, key, response)
        return response

    async def _search(self, answer: Callable[[], T]) -> T:
        """The messages are read and made in the thread too: a thousand hits take a while."""
        return await self._searchers.do(answer)
