"""`python -m services.embedder`: the embedder service."""

from functools import partial

from services.common.clients.embedder import EmbedderClient
from services.common.errors import FatalError
from services.common.server import Server, run, until_stopped
from services.embedder import metrics, process
from services.embedder.embedder import Embedder, Limits
from services.embedder.encoder import DeviceLostError
from services.embedder.loading import Choice, load_encoders
from services.embedder.servicer import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from videosearch.v1 import embedder_pb2_grpc


async def serve(settings: EmbedderSettings) -> None:
    process.tune()
    limits = Limits(settings.max_batch, settings.max_queue, settings.max_queue_bytes, settings.max_image_pixels)
    choice = Choice(settings.model, settings.device, settings.back_end, settings.precision, settings.offline)
    embedder = Embedder(limits, settings.templates)
    add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
    async with embedder, Server(settings, EmbedderClient.service, add) as server:

        async def work() -> None:
            try:
                await embedder.load(partial(load_encoders, choice))
                await server.ready()
                await embedder.until_lost()
            except DeviceLostError as error:
                await server.not_ready()
                raise FatalError(f"the model's device is lost: {error}") from error

        with metrics.BURDEN.of(embedder.burden):
            await until_stopped(work())


if __name__ == "__main__":
    run(EmbedderSettings, serve)
