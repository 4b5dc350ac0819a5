"""`python -m services.store`: the store service."""

import asyncio
from contextlib import ExitStack
from functools import partial

from services.common.clients.store import StoreClient
from services.common.server import Server, run, until_stopped
from services.store import metrics
from services.store.catalog import Catalog
from services.store.servicer import StoreServicer
from services.store.settings import StoreSettings
from videosearch.v1 import store_pb2_grpc


async def serve(settings: StoreSettings) -> None:
    servicer = StoreServicer()
    add = partial(store_pb2_grpc.add_StoreServiceServicer_to_server, servicer)
    with ExitStack() as opened:  # closed after the server has drained
        async with Server(settings, StoreClient.service, add) as server:

            async def load() -> None:
                catalog = await asyncio.to_thread(Catalog, settings.data_folder)
                servicer.use(opened.enter_context(catalog))
                opened.enter_context(metrics.STATS.of(catalog.stats))
                await server.ready()

            await until_stopped(load())


if __name__ == "__main__":
    run(StoreSettings, serve)
