"""How a service starts and stops."""

import asyncio
import gc
import logging
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.errors import StartupError, UnavailableError
from services.common.server import Server
from services.common.settings import ServerSettings
from tests.servers import serving
from videosearch.v1 import store_pb2, store_pb2_grpc

SERVICE = "videosearch.v1.StoreService"


class Slow(store_pb2_grpc.StoreServiceServicer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def GetStats(self, request, context):
        self.entered.set()
        await self.may_answer.wait()
        return store_pb2.GetStatsResponse(video_count=3)


def server(servicer: Slow, *, listen: str = "127.0.0.1:0", grace_s: float = 10) -> Server:
    settings = ServerSettings(listen=listen, grace_s=grace_s)
    return Server(settings, SERVICE, lambda s: store_pb2_grpc.add_StoreServiceServicer_to_server(servicer, s))


async def test_a_taken_port_stops_the_start_and_is_named():
    async with server(Slow()) as first:
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            async with server(Slow(), listen=f"127.0.0.1:{first.port}"):
                pass


async def test_an_address_that_is_none_stops_the_start():
    with pytest.raises(StartupError, match="cannot listen on nowhere"):
        async with server(Slow(), listen="nowhere"):
            pass


async def test_a_server_is_not_serving_before_it_is_ready():
    async with server(Slow()) as started, StoreClient(f"127.0.0.1:{started.port}") as client:
        assert not await client.serving()


async def test_a_ready_server_is_serving():
    async with server(Slow()) as started, StoreClient(f"127.0.0.1:{started.port}") as client:
        await started.ready()
        assert await client.serving()


async def test_readiness_can_be_taken_back():
    async with server(Slow()) as started, StoreClient(f"127.0.0.1:{started.port}") as client:
        await started.ready()
        await started.not_ready()
        assert not await client.serving()


@asynccontextmanager
async def drained(slow: Slow):
    """A call is running, health is watched, and the server is told to stop."""
    async with AsyncExitStack() as clients, AsyncExitStack() as service:
        started = await service.enter_async_context(server(slow))
        await started.ready()
        client = await clients.enter_async_context(StoreClient(f"127.0.0.1:{started.port}"))
        channel = await clients.enter_async_context(grpc.aio.insecure_channel(client.address))
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        running = asyncio.create_task(client.stats())
        await slow.entered.wait()
        stopping = asyncio.create_task(service.aclose())
        yield running, health
        health.cancel()
        await stopping


async def test_health_says_not_serving_while_draining():
    slow = Slow()
    async with drained(slow) as (running, health):
        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        slow.may_answer.set()
        await running


async def test_a_running_call_is_finished_while_draining():
    slow = Slow()
    async with drained(slow) as (running, health):
        await health.read()
        slow.may_answer.set()
        assert (await running).video_count == 3


async def test_those_who_watch_the_health_do_not_hold_up_the_drain():
    async with AsyncExitStack() as clients, asyncio.timeout(5), server(Slow(), grace_s=10) as started:
        await started.ready()
        channel = await clients.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{started.port}"))
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        await health.read()


async def test_a_call_that_outlasts_the_grace_is_ended():
    slow = Slow()
    async with AsyncExitStack() as clients:
        async with server(slow, grace_s=0.05) as started:
            client = await clients.enter_async_context(StoreClient(f"127.0.0.1:{started.port}"))
            running = asyncio.create_task(client.stats())
            await slow.entered.wait()
        with pytest.raises(UnavailableError):
            await running


async def test_a_client_of_another_service_says_so():
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with serving(SERVICE, lambda s: add(Slow(), s)) as address, IndexerClient(address) as client:
        with pytest.raises(UnavailableError, match="another service answers at this address"):
            await client.serving()


async def test_a_server_that_ends_complains_of_nothing(caplog):
    """What waited for calls is told so by gRPC's core, some time after."""
    for _ in range(20):
        async with server(Slow()) as started, StoreClient(f"127.0.0.1:{started.port}") as client:
            await client.serving()
    await asyncio.sleep(0.1)
    gc.collect()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_reflection_can_be_switched_off():
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    settings = ServerSettings(listen="127.0.0.1:0", reflection=False)
    async with Server(settings, SERVICE, lambda s: add(Slow(), s)) as started:
        with grpc.insecure_channel(f"127.0.0.1:{started.port}") as channel:
            reflected = ProtoReflectionDescriptorDatabase(channel)
            with pytest.raises(grpc.RpcError) as refused:
                await asyncio.to_thread(reflected.get_services)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
