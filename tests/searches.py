"""The real search service with a real store, and an embedder that knows words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.search.servicer import SearchServicer
from tests.standins import WordEmbedder, embedder_at, fill, search_at
from tests.stores import store
from videosearch.v1 import search_pb2_grpc


@dataclass(frozen=True, slots=True)
class Searching:
    client: SearchClient
    stub: search_pb2_grpc.SearchServiceStub
    embedder: WordEmbedder
    videos: StoreClient
    embedder_address: str
    begun: asyncio.Semaphore
    """Released by each search as it begins."""

    async def until_begun(self, count: int) -> None:
        for _ in range(count):
            await self.begun.acquire()


@asynccontextmanager
async def search_with(
    embedder_address: str, store_address: str, servicer_type: type[SearchServicer] = SearchServicer
) -> AsyncIterator[SearchClient]:
    """A client of the search service that has these peers."""
    async with search_at(embedder_address, store_address, servicer_type) as address, SearchClient(address) as client:
        yield client


@asynccontextmanager
async def searching(folder: Path, *, unsteady: bool = False, filled: bool = True) -> AsyncIterator[Searching]:
    """With the videos of `fill`, unless told otherwise."""
    embedder, begun = WordEmbedder(unsteady=unsteady), asyncio.Semaphore(0)
    async with (
        embedder_at(embedder) as embedder_address,
        store(folder) as videos,
        search_with(embedder_address, videos.address, _noting(begun)) as client,
        grpc.aio.insecure_channel(client.address) as channel,
    ):
        if filled:
            await fill(videos)
        stub = search_pb2_grpc.SearchServiceStub(channel)
        yield Searching(client, stub, embedder, videos, embedder_address, begun)


def _noting(begun: asyncio.Semaphore) -> type[SearchServicer]:
    class Noting(SearchServicer):
        async def SearchVideos(self, request, context):
            begun.release()
            return await super().SearchVideos(request, context)

        async def SearchScenes(self, request, context):
            begun.release()
            return await super().SearchScenes(request, context)

        async def ScoreTimeline(self, request, context):
            begun.release()
            return await super().ScoreTimeline(request, context)

    return Noting
