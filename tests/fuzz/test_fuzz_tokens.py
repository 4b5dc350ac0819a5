"""Where tokens are asked for, only a token lets a call pass, and what is sent instead brings no service down."""

import logging
from collections.abc import AsyncIterator
from functools import partial
from random import Random

import grpc
import pytest
from pydantic import SecretStr

from services.common.access import new_token
from services.common.server import Server
from services.common.settings import ServerSettings
from tests.fuzz.port import call_of, sent
from videosearch.v1 import store_pb2, store_pb2_grpc

SERVICE = "videosearch.v1.StoreService"
METHOD = f"/{SERVICE}/GetStats"
TOKEN = new_token()
SEED, CALLS = 7, 150

SCHEMES = ("Bearer ", "bearer ", "BEARER  ", "Basic ", "Bearer", "Bearer Bearer ", "", " ", "Token=")


class Counting(store_pb2_grpc.StoreServiceServicer):
    def __init__(self) -> None:
        self.entered = 0

    async def GetStats(self, request, context):
        self.entered += 1
        return store_pb2.GetStatsResponse()


def authorizations(random: Random, alphabet: bytes) -> bytes:
    """A header's value: much like the token's, or nothing like it."""
    near = [TOKEN[:-1], TOKEN + "x", TOKEN.swapcase(), f"reader:read:{TOKEN}", TOKEN[::-1], f"{TOKEN},{TOKEN}"]
    odd = bytes(random.choice(alphabet) for _ in range(random.choice([0, 1, 40, 3000])))
    return random.choice(SCHEMES).encode() + random.choice([*(one.encode() for one in near), odd, odd])


@pytest.fixture
def servicer() -> Counting:
    return Counting()


@pytest.fixture
async def address(servicer: Counting) -> AsyncIterator[str]:
    settings = ServerSettings(listen="127.0.0.1:0", tokens=SecretStr(f"reader:read:{TOKEN}"))
    add = partial(store_pb2_grpc.add_StoreServiceServicer_to_server, servicer)
    async with Server(settings, SERVICE, add) as server:
        await server.ready()
        yield f"127.0.0.1:{server.port}"


async def test_only_the_token_passes(address, servicer):
    async with grpc.aio.insecure_channel(address) as channel:
        for number in range(CALLS):
            value = authorizations(Random(f"{SEED}/{number}"), bytes(range(32, 127))).decode()
            metadata = [("authorization", value), ("authorization-bin", f"Bearer {TOKEN}".encode())]
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await channel.unary_unary(METHOD)(b"", metadata=metadata[: 1 + number % 2])
            assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED, (number, value)
            assert TOKEN not in failure.value.details(), (number, value)
        assert servicer.entered == 0
        await channel.unary_unary(METHOD)(b"", metadata=[("authorization", f"Bearer {TOKEN}")])
        assert servicer.entered == 1


async def test_bytes_that_no_client_would_send_do_not_pass_either(address, servicer, caplog):
    caplog.set_level(logging.INFO, "services.rpc")
    for number in range(CALLS // 10):
        value = authorizations(Random(f"{SEED}/raw/{number}"), bytes(range(256)))
        await sent(address, call_of(METHOD.encode(), {b"authorization": value}), patience_s=0.02)
    assert servicer.entered == 0
    codes = {record.code for record in caplog.records if record.message == "call"}
    assert codes == {"UNAUTHENTICATED"}


async def test_the_token_passes_whatever_else_is_said(address, servicer):
    await sent(address, call_of(METHOD.encode(), {b"authorization": f"Bearer {TOKEN}".encode(), b"odd": b"\xff\x00"}))
    assert servicer.entered == 1
