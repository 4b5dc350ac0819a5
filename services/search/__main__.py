"""`python -m services.search`: the search service."""

from functools import partial

from services.common.clients.embedder import EmbedderClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.server import Server, run, until_stopped
from services.search import readiness
from services.search.query import Search
from services.search.servicer import SearchServicer
from services.search.settings import SearchSettings
from videosearch.v1 import search_pb2_grpc


async def serve(settings: SearchSettings) -> None:
    async with (
        EmbedderClient(settings.embedder_address, settings.credentials) as embedder,
        StoreClient(settings.store_address, settings.credentials) as store,
    ):
        servicer = SearchServicer(Search(embedder, settings.cached_texts), store)
        add = partial(search_pb2_grpc.add_SearchServiceServicer_to_server, servicer)
        async with Server(settings, SearchClient.service, add) as server:
            await until_stopped(readiness.follow((embedder, store), server))


if __name__ == "__main__":
    run(SearchSettings, serve)
