"""The service as its operator starts it: `python -m services.embedder`."""

import asyncio
import contextlib
import os
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.clients.embedder import EmbedderClient
from services.common.errors import UnavailableError
from tests.checkpoints import make_clip
from tests.scrapes import scrape
from tools.stack import Service, StackError, free_addresses

NOT_SERVING, SERVING = health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING


@contextlib.asynccontextmanager
async def started(model, **more):
    """The service, and the lines that it prints."""
    address, lines = free_addresses()["embedder"], []
    environment = {
        "VIDEOSEARCH_EMBEDDER_LISTEN": address,
        "VIDEOSEARCH_EMBEDDER_MODEL": str(model),
        "VIDEOSEARCH_LOG_LEVEL": "error",
        "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody listens on "discard"
        **more,
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
    metrics = free_addresses()["embedder"]
    async with started(make_clip(tmp_path), VIDEOSEARCH_EMBEDDER_METRICS_LISTEN=metrics) as (service, lines):
        async with health(service.address) as states:
            assert [await anext(states), await anext(states)] == [NOT_SERVING, SERVING]
        async with EmbedderClient(service.address) as client:
            assert (await client.model()).name == str(tmp_path)
            assert not (await client.embed_texts(["a dog"]))[0].truncated
        seen = await scrape(int(metrics.rpartition(":")[2]))
        assert [seen.value(f"embedder_{what}") for what in ("replicas", "accepted_items")] == [1, 0]
        assert seen.value("embedder_batch_items_sum", lane="texts") == 1
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


@pytest.mark.parametrize("templates", ['["a photo"]', '["{} and {}"]', '["{}", ""]'])
async def test_a_template_without_its_one_place_stops_the_start(tmp_path, templates):
    async with started(tmp_path, VIDEOSEARCH_EMBEDDER_TEMPLATES=templates) as (service, lines):
        await service.process.wait()
        await service.stop()
    (line,) = lines
    assert line.startswith("cannot start: setting VIDEOSEARCH_EMBEDDER_TEMPLATES=")
    assert "holds {} exactly once" in line


LOSES_ITS_DEVICE = """
from services.common.server import run
from services.embedder import __main__ as main
from services.embedder.encoder import DeviceLostError
from services.embedder.settings import EmbedderSettings
from tests.encoders import CountingEncoder

class Fragile(CountingEncoder):
    def encode_texts(self, texts):
        if texts[0]["text"] == "lose it":
            raise DeviceLostError("cuda:0: gone")
        return super().encode_texts(texts)

main.load_encoders = lambda choice: [Fragile()]
run(EmbedderSettings, main.serve)
"""


async def test_without_its_device_it_is_not_serving_and_leaves_with_one_line():
    address = free_addresses()["embedder"]
    environment = {**os.environ, "VIDEOSEARCH_EMBEDDER_LISTEN": address, "VIDEOSEARCH_LOG_LEVEL": "error"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOSES_ITS_DEVICE), env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with health(address) as states, EmbedderClient(address) as client:
        while await anext(states) != SERVING:
            pass
        with pytest.raises(UnavailableError, match="device that the model runs on has failed"):
            await client.embed_texts(["lose it"])
        assert await anext(states) == NOT_SERVING
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (1, b"cannot go on: the model's device is lost: cuda:0: gone\n")


async def test_torch_is_not_loaded_before_the_process_is_set_up_for_it():
    said = "import sys, services.embedder.__main__; print('torch' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", said, stdout=asyncio.subprocess.PIPE)
    assert await process.communicate() == (b"False\n", None)
