"""How much a server takes on: of all callers, and of each, by its name or its host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from services.common.clients.credentials import Credentials
from services.common.clients.store import StoreClient
from services.common.errors import OverloadedError
from services.common.server import Server
from services.common.settings import ServerSettings
from tests.proxies import proxied
from videosearch.v1 import store_pb2, store_pb2_grpc

TOKENS = {name: f"{name}-{'x' * 40}" for name in ("ann", "bob")}


class Slow(store_pb2_grpc.StoreServiceServicer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.reached = asyncio.Semaphore(0)
        self.gate = asyncio.Event()

    async def GetVideo(self, request, context):
        self.reached.release()
        await self.gate.wait()
        return store_pb2.GetVideoResponse(video={"video_id": "v"})


class World(AsyncExitStack):
    """A server with limits, and its callers."""

    def __init__(self, address: str, servicer: Slow) -> None:
        super().__init__()
        self._address = address
        self.servicer = servicer

    async def named(self, name: str) -> StoreClient:
        return await self.enter_async_context(StoreClient(self._address, Credentials(token=TOKENS[name])))

    async def of_host(self, host: str) -> StoreClient:
        way = await self.enter_async_context(proxied(self._address, host))
        return await self.enter_async_context(StoreClient(way.address))

    async def busy(self, *clients: StoreClient) -> list[asyncio.Task[object]]:
        """Each has a call running that does not end."""
        calls = [asyncio.create_task(client.video("v")) for client in clients]
        for _ in calls:
            await self.servicer.reached.acquire()
        return calls


@asynccontextmanager
async def limited(*names: str, **limits: float) -> AsyncIterator[World]:
    servicer = Slow()
    tokens = ",".join(f"{name}:read:{TOKENS[name]}" for name in names)
    settings = ServerSettings(listen="127.0.0.1:0", grace_s=0, tokens=tokens, **limits)
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with Server(settings, StoreClient.service, lambda server: add(servicer, server)) as server:
        await server.ready()
        async with World(f"127.0.0.1:{server.port}", servicer) as world, asyncio.timeout(10):
            yield world
            servicer.gate.set()


def refused() -> float:
    labels = {"method": "/videosearch.v1.StoreService/GetVideo", "code": "RESOURCE_EXHAUSTED"}
    return REGISTRY.get_sample_value("videosearch_rpcs_refused_total", labels) or 0


async def test_a_call_too_many_is_refused_before_any_work_and_counted():
    before = refused()
    async with limited(max_calls=2) as world:
        client = await world.of_host("127.0.0.1")
        calls = await world.busy(client, client)
        with pytest.raises(OverloadedError, match="all 2 calls"):
            await client.video("v")
        assert world.servicer.reached.locked()
        world.servicer.gate.set()
        await asyncio.gather(*calls)
        await client.video("v")
    assert refused() == before + 1


async def test_a_caller_with_a_name_has_a_share_of_its_own_wherever_it_calls_from():
    async with limited("ann", "bob", max_calls_per_caller=1) as world:
        ann, again, bob = await world.named("ann"), await world.named("ann"), await world.named("bob")
        calls = await world.busy(ann, bob)
        with pytest.raises(OverloadedError, match="1 calls of yours"):
            await again.video("v")
        world.servicer.gate.set()
        await asyncio.gather(*calls)


async def test_a_caller_without_a_name_shares_with_its_host():
    async with limited(max_calls_per_caller=1) as world:
        here, again, there = [await world.of_host(host) for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2")]
        calls = await world.busy(here, there)
        with pytest.raises(OverloadedError, match="1 calls of yours"):
            await again.video("v")
        world.servicer.gate.set()
        await asyncio.gather(*calls)


async def test_who_calls_too_often_is_told_when_to_come_again_and_the_others_are_not():
    async with limited("ann", "bob", max_calls_per_second_per_caller=0.1) as world:
        world.servicer.gate.set()
        ann, bob = await world.named("ann"), await world.named("bob")
        await ann.video("v")
        with pytest.raises(OverloadedError, match=r"more than 0.1 times a second") as refusal:
            await ann.video("v")
        assert 5 < refusal.value.retry_after_s <= 10
        await bob.video("v")


async def test_whether_a_service_is_there_can_be_asked_however_busy_it_is():
    async with limited(max_calls=1) as world:
        client = await world.of_host("127.0.0.1")
        calls = await world.busy(client)
        assert await client.serving()
        world.servicer.gate.set()
        await asyncio.gather(*calls)
