"""StoreService on the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import TypeVar

from services.common import convert as common
from services.common.errors import UnavailableError
from services.common.interceptors import Context
from services.store import convert
from services.store.catalog import Catalog
from videosearch.v1 import store_pb2, store_pb2_grpc

T = TypeVar("T")


class StoreServicer(store_pb2_grpc.StoreServiceServicer):
    """Answers UNAVAILABLE until it is given its catalog."""

    def __init__(self) -> None:
        self._opened: Catalog | None = None
        self._writing = asyncio.Lock()  # writes wait for one another here, where they take no thread from readers

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
        videos, more = await asyncio.to_thread(self._catalog.videos, after, limit)
        return convert.video_page_to(videos, more=more)

    async def UpdateVideo(
        self, request: store_pb2.UpdateVideoRequest, context: Context
    ) -> store_pb2.UpdateVideoResponse:
        video_id, changes = common.video_id_from(request.video.video_id), convert.changes_from(request)
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
        scenes, more = await asyncio.to_thread(self._catalog.scenes, video_id, first, limit)
        return convert.scene_page_to(scenes, more=more)

    async def FindScenes(self, request: store_pb2.FindScenesRequest, context: Context) -> store_pb2.FindScenesResponse:
        query, ranking = convert.query_from(request.query), common.scene_ranking_from(request)
        found = await asyncio.to_thread(self._catalog.find_scenes, query, request.query.model, ranking)
        return store_pb2.FindScenesResponse(**common.ranked_scenes_to(found))

    async def FindVideos(self, request: store_pb2.FindVideosRequest, context: Context) -> store_pb2.FindVideosResponse:
        query, ranking = convert.query_from(request.query), common.video_ranking_from(request)
        found = await asyncio.to_thread(self._catalog.find_videos, query, request.query.model, ranking)
        return store_pb2.FindVideosResponse(**common.ranked_videos_to(found))

    async def GetStats(self, request: store_pb2.GetStatsRequest, context: Context) -> store_pb2.GetStatsResponse:
        return store_pb2.GetStatsResponse(**asdict(await asyncio.to_thread(self._catalog.stats)))

    @property
    def _catalog(self) -> Catalog:
        if self._opened is None:
            raise UnavailableError("the store is loading its vectors; try again in a moment")
        return self._opened

    async def _write(self, change: Callable[[], T]) -> T:
        async with self._writing:
            return await asyncio.to_thread(change)
