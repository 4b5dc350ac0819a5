"""The store service: `python -m services.store`."""

import asyncio
from contextlib import ExitStack
from functools import partial

from services.common.errors import DataLossError, StartupError
from services.common.server import Server, run, until_stopped
from services.store.catalog import Catalog
from services.store.servicer import StoreServicer
from services.store.settings import StoreSettings
from videosearch.v1 import store_pb2, store_pb2_grpc

SERVICE = store_pb2.DESCRIPTOR.services_by_name["StoreService"].full_name


async def serve(settings: StoreSettings) -> None:
    servicer = StoreServicer(settings.max_scenes_per_video)
    add = partial(store_pb2_grpc.add_StoreServiceServicer_to_server, servicer)
    with ExitStack() as opened:  # closed after the server has drained
        async with Server(settings, SERVICE, add) as server:
            try:
                catalog = await asyncio.to_thread(Catalog, settings.data_folder)
            except DataLossError as error:
                raise StartupError(f"data folder {settings.data_folder}: {error}") from error
            servicer.use(opened.enter_context(catalog))
            await server.ready()
            await until_stopped()


if __name__ == "__main__":
    run(StoreSettings, serve)
