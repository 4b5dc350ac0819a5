"""The search service: `python -m services.search`."""

import asyncio
from functools import partial

from services.common.clients.embedder import EmbedderClient
from services.common.clients.store import StoreClient
from services.common.server import Server, run, until_stopped
from services.search import readiness
from services.search.query import Search
from services.search.servicer import SearchServicer
from services.search.settings import SearchSettings
from videosearch.v1 import search_pb2, search_pb2_grpc

SERVICE = search_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name


async def serve(settings: SearchSettings) -> None:
    async with EmbedderClient(settings.embedder_address) as embedder, StoreClient(settings.store_address) as store:
        add = partial(search_pb2_grpc.add_SearchServiceServicer_to_server, SearchServicer(Search(embedder, store)))
        async with Server(settings, SERVICE, add) as server, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(readiness.follow((embedder, store), server))
            await until_stopped()
            following.cancel()


if __name__ == "__main__":
    run(SearchSettings, serve)
