"""What the probes of deploy/k8s ask, of a real server."""

import asyncio
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common import probe
from services.common.clients.store import StoreClient
from services.common.server import LIVENESS, Server
from services.common.settings import ServerSettings
from services.store.servicer import StoreServicer
from videosearch.v1 import store_pb2_grpc


@pytest.fixture
async def server():
    settings = ServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", grace_s=0.2)

    def add(made):
        store_pb2_grpc.add_StoreServiceServicer_to_server(StoreServicer(), made)

    async with Server(settings, StoreClient.service, add) as started:
        yield started


async def problem(server, service):
    return await asyncio.to_thread(probe.problem, f"127.0.0.1:{server.port}", service)


async def test_a_service_that_loads_lives_and_is_not_ready(server):
    assert await problem(server, LIVENESS) is None
    assert "is not serving" in await problem(server, StoreClient.service)


async def test_a_service_whose_peers_are_away_lives_and_is_not_ready(server):
    await server.ready()
    assert await problem(server, StoreClient.service) is None
    await server.not_ready()
    assert "is not serving" in await problem(server, StoreClient.service)
    assert await problem(server, LIVENESS) is None


async def test_the_metrics_port_of_a_service_that_loads_answers(server):
    def status():
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=5) as answer:
            return answer.status

    assert await asyncio.to_thread(status) == 200


async def test_a_service_that_hangs_does_not_live(server, monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.5)
    with ThreadPoolExecutor() as asking:
        asked = asking.submit(probe.problem, f"127.0.0.1:{server.port}", LIVENESS)
        assert (
            "DEADLINE_EXCEEDED" in asked.result()
        )  # waiting keeps this loop, which is the server's too, from all else
