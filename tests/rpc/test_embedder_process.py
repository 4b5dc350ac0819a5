"""The service as its operator starts it: `python -m services.embedder`."""

import contextlib

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.clients.embedder import EmbedderClient
from tests.checkpoints import make_clip
from tools.stack import Service, StackError, free_addresses

NOT_SERVING, SERVING = health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING


@contextlib.asynccontextmanager
async def started(model):
    """The service, and the lines that it prints."""
    address, lines = free_addresses()["embedder"], []
    environment = {
        "VIDEOSEARCH_EMBEDDER_LISTEN": address,
        "VIDEOSEARCH_EMBEDDER_MODEL": str(model),
        "VIDEOSEARCH_LOG_LEVEL": "error",
        "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody listens on "discard"
    }
    service = Service("embedder", address, environment, lambda _name, line: lines.append(line))
    await service.start()
    try:
        yield service, lines
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def health(address):
    """The service's states, as they change."""
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=EmbedderClient.service)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, wait_for_ready=True)
        yield (response.status async for response in watch)
        watch.cancel()


async def test_it_serves_once_the_model_is_loaded_and_stops_when_told(tmp_path):
    async with started(make_clip(tmp_path)) as (service, lines):
        async with health(service.address) as states:
            assert [await anext(states), await anext(states)] == [NOT_SERVING, SERVING]
        async with EmbedderClient(service.address) as client:
            assert (await client.model()).name == str(tmp_path)
            assert not (await client.embed_text("a dog")).truncated
        await service.stop()
        assert (service.process.returncode, lines) == (0, [])


async def test_it_can_be_stopped_while_it_loads(tmp_path):
    async with started(make_clip(tmp_path)) as (service, lines):
        async with health(service.address) as states:
            assert await anext(states) == NOT_SERVING
        await service.stop()
        assert (service.process.returncode, lines) == (0, [])


async def test_without_its_model_it_leaves_with_one_line():
    async with started("some/model") as (service, lines):
        with pytest.raises(StackError, match="embedder stopped with exit status 1"):
            await service.ready()
    (line,) = lines
    assert line.startswith("cannot start: no model 'some/model'")
