"""The service as its operator starts it: `python -m services.embedder`."""

import asyncio
import contextlib
import os
import signal
import socket
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.clients.embedder import EmbedderClient
from services.embedder.servicer import SERVICE
from tests.checkpoints import make_clip

NOT_SERVING, SERVING = health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.asynccontextmanager
async def started(address, model):
    environment = {
        **os.environ,
        "VIDEOSEARCH_EMBEDDER_LISTEN": address,
        "VIDEOSEARCH_EMBEDDER_MODEL": str(model),
        "VIDEOSEARCH_LOG_LEVEL": "error",
        "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody listens on "discard"
    }
    command = (sys.executable, "-m", "services.embedder")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def states(channel):
    """The service's health, as it changes."""
    watch = health_pb2_grpc.HealthStub(channel).Watch
    async for response in watch(health_pb2.HealthCheckRequest(service=SERVICE), wait_for_ready=True):
        yield response.status


async def test_it_serves_once_the_model_is_loaded_and_stops_when_told(address, tmp_path):
    async with started(address, make_clip(tmp_path)) as process, grpc.aio.insecure_channel(address) as channel:
        health = states(channel)
        assert [await anext(health), await anext(health)] == [NOT_SERVING, SERVING]
        await health.aclose()
        async with EmbedderClient(address) as client:
            assert (await client.model()).name == str(tmp_path)
            assert not (await client.embed_text("a dog")).truncated
        process.send_signal(signal.SIGTERM)
        assert (await process.wait(), await process.stderr.read()) == (0, b"")


async def test_it_can_be_stopped_while_it_loads(address, tmp_path):
    async with started(address, make_clip(tmp_path)) as process, grpc.aio.insecure_channel(address) as channel:
        health = states(channel)
        assert await anext(health) == NOT_SERVING
        await health.aclose()
        process.send_signal(signal.SIGTERM)
        assert (await process.wait(), await process.stderr.read()) == (0, b"")


async def test_without_its_model_it_leaves_with_one_line(address):
    async with started(address, "some/model") as process:
        _, output = await process.communicate()
    assert process.returncode == 1
    assert output.startswith(b"cannot start: no model 'some/model'")
    assert output.count(b"\n") == 1
