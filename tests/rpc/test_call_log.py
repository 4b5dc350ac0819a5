"""The one line that a service logs of a call has what an operator needs."""

import asyncio
import json
import logging

import grpc
import pytest
from pydantic import SecretStr

from services.common.clients.credentials import Credentials
from services.common.clients.store import StoreClient
from services.common.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from services.common.logs import ConsoleFormatter, JsonFormatter
from services.common.server import Server
from services.common.settings import ServerSettings
from tests.scrapes import growing
from videosearch.v1 import store_pb2, store_pb2_grpc

TOKEN = "t" * 40


class Store(store_pb2_grpc.StoreServiceServicer):
    async def GetStats(self, request, context):
        return store_pb2.GetStatsResponse()

    async def GetVideo(self, request, context):
        if request.video_id == "bug":
            raise ValueError("no such\nluck")
        raise NotFoundError(f"no video {request.video_id}")


@pytest.fixture
async def address(caplog):
    caplog.set_level(logging.INFO, "services.rpc")
    settings = ServerSettings(listen="127.0.0.1:0", tokens=SecretStr(f"alice:read:{TOKEN}"), grace_s=0)
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with Server(settings, StoreClient.service, lambda server: add(Store(), server)) as server:
        await server.ready()
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
async def client(address):
    async with StoreClient(address, Credentials(token=TOKEN)) as client:
        yield client


async def line(caplog):
    """Of the only call that there was; its answer may be here before it is logged."""
    for _ in range(5000):
        if records := [record for record in caplog.records if record.message == "call"]:
            break
        await asyncio.sleep(0.001)
    (record,) = records
    return record


async def test_a_call_that_succeeds_has_its_caller_and_no_error(client, caplog):
    await client.stats()
    logged = json.loads(JsonFormatter().format(await line(caplog)))
    assert (logged["method"], logged["code"], logged["caller"]) == (
        "/videosearch.v1.StoreService/GetStats",
        "OK",
        "alice",
    )
    assert logged["ms"] >= 0
    assert logged["peer"].startswith("ipv4:127.0.0.1:")
    assert "error" not in logged


async def test_a_call_that_fails_has_its_reason(client, caplog):
    with pytest.raises(NotFoundError):
        await client.video("x")
    assert ((await line(caplog)).code, (await line(caplog)).error) == ("NOT_FOUND", "no video x")


async def test_a_call_that_is_refused_has_its_reason_and_not_what_was_shown(address, caplog):
    async with growing() as growth, StoreClient(address, Credentials(token="s" * 40)) as stranger:
        with pytest.raises(UnauthenticatedError) as refused:
            await stranger.stats()
        labels = {"method": "/videosearch.v1.StoreService/GetStats", "code": "UNAUTHENTICATED"}
        assert await growth.of("rpcs_refused_total", **labels) == [1]
    assert (await line(caplog)).code == "UNAUTHENTICATED"
    assert (await line(caplog)).error in str(refused.value)
    assert "sss" not in JsonFormatter().format(await line(caplog))


async def test_a_bug_is_named_to_the_operator_and_not_to_the_caller(client, caplog):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await client.video("bug")
    assert "luck" not in failed.value.details()
    assert (await line(caplog)).error == "ValueError('no such\\nluck')"


async def test_an_error_can_neither_forge_a_line_nor_fill_the_log(client, caplog):
    forged = "x\n12:00:00.000 info    call  code=OK \x1b[2J" + 900 * "y"
    with pytest.raises((NotFoundError, InvalidInputError)):
        await client.video(forged)
    (record,) = (record for record in caplog.records if record.message == "call")
    for text in (ConsoleFormatter().format(record), JsonFormatter().format(record)):
        assert "\n" not in text
        assert "\x1b" not in text
        assert len(text) < 1100
