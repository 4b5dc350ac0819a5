"""The client of grpcio-health-checking, as load balancers and probes have it."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.clients.store import StoreClient
from services.common.server import LIVENESS
from tests.stores import process
from tools.stack import CLIENTS, Stack

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def asked(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.asyncio(loop_scope="session")
class TestOfEachService:
    @pytest_asyncio.fixture(loop_scope="session", params=CLIENTS)
    async def service(self, request, system: Stack) -> AsyncIterator[tuple[str, health_pb2_grpc.HealthStub]]:
        """Its full name, and a client of its health."""
        async with grpc.aio.insecure_channel(system.addresses[request.param]) as channel:
            yield CLIENTS[request.param].service, health_pb2_grpc.HealthStub(channel)

    async def test_check_answers_for_the_server_and_for_the_service(self, service) -> None:
        name, health = service
        assert {(await health.Check(asked(one))).status for one in ("", name)} == {SERVING}

    async def test_check_knows_no_other_service(self, service) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service[1].Check(asked("videosearch.v1.NoService"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND

    async def test_list_names_them_all(self, service) -> None:
        name, health = service
        statuses = (await health.List(health_pb2.HealthListRequest())).statuses
        assert {one: answer.status for one, answer in statuses.items()} == dict.fromkeys(("", name, LIVENESS), SERVING)

    async def test_watch_tells_at_once(self, service) -> None:
        name, health = service
        watching = health.Watch(asked(name))
        assert (await watching.read()).status == SERVING
        watching.cancel()


async def test_who_watches_hears_that_a_process_stops_before_it_is_gone(tmp_path) -> None:
    store = process(tmp_path)
    await store.start()
    try:
        await store.ready()
        async with grpc.aio.insecure_channel(store.address) as channel:
            watching = health_pb2_grpc.HealthStub(channel).Watch(asked(StoreClient.service))
            assert (await watching.read()).status == SERVING
            stopping = asyncio.create_task(store.stop())
            assert (await watching.read()).status == NOT_SERVING
            await stopping
    finally:
        await store.stop()
