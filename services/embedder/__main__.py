"""`python -m services.embedder`: the embedder service."""

from functools import partial

from services.common.clients.embedder import EmbedderClient
from services.common.server import Server, run, until_stopped
from services.embedder import process
from services.embedder.embedder import Embedder, Limits
from services.embedder.loading import load_encoder
from services.embedder.servicer import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from videosearch.v1 import embedder_pb2_grpc


async def serve(settings: EmbedderSettings) -> None:
    process.tune()
    embedder = Embedder(Limits(settings.max_batch, settings.max_queue, settings.max_image_pixels))
    add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
    async with embedder, Server(settings, EmbedderClient.service, add) as server:

        async def load() -> None:
            await embedder.load(partial(load_encoder, settings.model, settings.device, settings.precision))
            await server.ready()

        await until_stopped(load())


if __name__ == "__main__":
    run(EmbedderSettings, serve)
