"""Calls to several replicas behind one address go to those that can answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from services.common import connection
from services.common.clients import channel
from services.common.clients.store import StoreClient
from services.common.errors import UnavailableError
from services.common.server import Server
from services.common.settings import ServerSettings
from services.search import readiness
from tests.proxies import Proxy, proxied
from videosearch.v1 import store_pb2, store_pb2_grpc

ROUND = 12


class Replica(store_pb2_grpc.StoreServiceServicer):
    """Counts its calls."""

    def __init__(self) -> None:
        add = store_pb2_grpc.add_StoreServiceServicer_to_server
        settings = ServerSettings(listen="127.0.0.1:0", grace_s=5)
        self.server = Server(settings, StoreClient.service, lambda server: add(self, server))
        self.calls = 0
        self.called = asyncio.Event()
        self.way: Proxy

    async def GetVideo(self, request, context):
        self.calls += 1
        self.called.set()
        return store_pb2.GetVideoResponse(video={"video_id": "v"})


class Follower:
    """Notes when a service that follows its peers is ready."""

    def __init__(self) -> None:
        self.turns: asyncio.Queue[bool] = asyncio.Queue()

    async def ready(self) -> None:
        self.turns.put_nowait(True)

    async def not_ready(self) -> None:
        self.turns.put_nowait(False)


@asynccontextmanager
async def following(client: StoreClient) -> AsyncIterator[Follower]:
    follower = Follower()
    task = asyncio.create_task(readiness.follow([client], follower, interval_s=0.01))
    try:
        yield follower
    finally:
        task.cancel()


@asynccontextmanager
async def replicas(count: int = 3, *, ready: bool = True) -> AsyncIterator[tuple[list[Replica], StoreClient]]:
    """And a client of them all."""
    async with AsyncExitStack() as stack:
        made = [Replica() for _ in range(count)]
        for replica in made:
            await stack.enter_async_context(replica.server)
            replica.way = await stack.enter_async_context(proxied(f"127.0.0.1:{replica.server.port}"))
            if ready:
                await replica.server.ready()
        address = "ipv4:" + ",".join(replica.way.address for replica in made)
        yield made, await stack.enter_async_context(StoreClient(address))


async def until_spread(client: StoreClient, made: list[Replica], *shares: int) -> None:
    """Make calls until so many of a round go to each replica."""
    counts: list[int] = []
    async with asyncio.timeout(5):
        while counts != list(shares):
            before = [replica.calls for replica in made]
            for _ in range(ROUND):
                await client.video("v")
            counts = [replica.calls - had for replica, had in zip(made, before, strict=True)]


@asynccontextmanager
async def under_load(client: StoreClient, made: list[Replica]) -> AsyncIterator[None]:
    """Four callers that never stop; what fails of their calls fails the test. Ends when the others were called."""
    stop = asyncio.Event()

    async def call() -> None:
        while not stop.is_set():
            await client.video("v")

    async with asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(call())
        await until_called(made)
        yield
        await until_called(made[1:])
        stop.set()


async def until_called(made: list[Replica]) -> None:
    """Each of them has taken a hundred calls more."""
    async with asyncio.timeout(10):
        for replica in made:
            goal = replica.calls + 100
            while replica.calls < goal:
                await replica.called.wait()
                replica.called.clear()


async def test_calls_are_spread_evenly():
    async with replicas() as (made, client):
        await until_spread(client, made, 4, 4, 4)


async def test_a_name_is_asked_for_all_its_addresses():
    async with replicas(1) as (made, _), StoreClient(f"dns:///localhost:{made[0].server.port}") as client:
        await until_spread(client, made, ROUND)


async def test_a_replica_that_cannot_answer_gets_no_calls_until_it_can():
    async with replicas() as (made, client):
        await until_spread(client, made, 4, 4, 4)
        await made[1].server.not_ready()
        await until_spread(client, made, 6, 0, 6)
        await made[1].server.ready()
        await until_spread(client, made, 4, 4, 4)


async def test_a_replica_that_dies_costs_no_call():
    async with replicas() as (made, client), under_load(client, made):
        made[0].way.close()


async def test_a_replica_that_drains_costs_no_call():
    async with replicas() as (made, client), under_load(client, made):
        await made[0].server.__aexit__()


async def test_calls_of_a_replica_that_hangs_go_to_the_others(monkeypatch):
    monkeypatch.setattr(connection, "HUNG_MS", 500)
    async with replicas() as (made, client), asyncio.timeout(10):
        await until_spread(client, made, 4, 4, 4)
        made[0].way.passing.clear()
        await asyncio.gather(*(client.video("v") for _ in range(ROUND)))


async def test_while_no_replica_can_answer_the_error_says_so():
    async with replicas(ready=False) as (made, client):
        with pytest.raises(UnavailableError, match="unhealthy"):
            await client.video("v")
        assert sum(replica.calls for replica in made) == 0


async def test_replicas_serve_while_one_of_them_does():
    async with replicas(ready=False) as (made, client):
        with pytest.raises(UnavailableError, match="unhealthy"):
            await client.serving()
        await made[2].server.ready()
        await until_spread(client, made, 0, 0, ROUND)
        assert await client.serving()


async def test_a_service_is_ready_while_one_replica_of_its_peer_is():
    async with replicas() as (made, client), following(client) as follower, asyncio.timeout(10):
        assert await follower.turns.get()
        made[0].way.close()
        await made[1].server.not_ready()
        await until_spread(client, made, 0, 0, ROUND)
        assert follower.turns.empty()
        await made[2].server.not_ready()
        assert not await follower.turns.get()
        await made[1].server.ready()
        assert await follower.turns.get()


async def test_a_service_is_ready_though_one_replica_of_its_peer_hangs(monkeypatch):
    monkeypatch.setattr(StoreClient.serving, "__defaults__", (0.5,))
    monkeypatch.setattr(channel, "PROMPT_S", 0.1)
    async with replicas() as (made, client), following(client) as follower, asyncio.timeout(10):
        assert await follower.turns.get()
        await until_spread(client, made, 4, 4, 4)
        made[0].way.passing.clear()
        await asyncio.sleep(1.5)
        assert follower.turns.empty()
