"""`python -m services.embedder`: serve the model."""

import asyncio
from functools import partial

from services.common.server import Server, run, until_stopped
from services.embedder import process
from services.embedder.embedder import Embedder, Limits
from services.embedder.loading import load_encoder
from services.embedder.servicer import SERVICE, EmbedderServicer
from services.embedder.settings import EmbedderSettings
from videosearch.v1 import embedder_pb2_grpc


async def serve(settings: EmbedderSettings) -> None:
    process.tune()
    embedder = Embedder(Limits(settings.max_batch, settings.max_queue, settings.max_image_pixels))
    add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
    load = partial(load_encoder, settings.model, settings.device, settings.precision)
    async with embedder, Server(settings, SERVICE, add) as server:
        stopped = asyncio.ensure_future(until_stopped())
        loading = asyncio.ensure_future(embedder.load(load))
        await asyncio.wait((stopped, loading), return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            loading.cancel()
            return
        await loading  # raises what went wrong
        await server.ready()
        await stopped


if __name__ == "__main__":
    run(EmbedderSettings, serve)
