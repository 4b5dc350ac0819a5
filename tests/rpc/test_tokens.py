"""Which calls a token lets through, and what those are told that it does not."""

from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common import watched
from services.common.clients.credentials import Credentials
from services.common.clients.store import StoreClient
from services.common.errors import ForbiddenError, StartupError, UnauthenticatedError
from services.common.methods import METHODS, Role
from tests.certificates import Authority
from tests.secured import GIVEN, TOKENS, UNKNOWN, Counting, bearer, counting, line, tls
from tests.servers import serving
from videosearch.v1 import (
    embedder_pb2_grpc,
    indexer_pb2_grpc,
    search_pb2_grpc,
    store_pb2,
    store_pb2_grpc,
)

ADDITIONS = {
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server: embedder_pb2_grpc.EmbedderServiceServicer,
    store_pb2_grpc.add_StoreServiceServicer_to_server: store_pb2_grpc.StoreServiceServicer,
    indexer_pb2_grpc.add_IndexerServiceServicer_to_server: indexer_pb2_grpc.IndexerServiceServicer,
    search_pb2_grpc.add_SearchServiceServicer_to_server: search_pb2_grpc.SearchServiceServicer,
}

REFUSALS = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def _add_all(server: grpc.aio.Server) -> None:
    """All four services' methods, none of which does anything."""
    for add, servicer in ADDITIONS.items():
        add(servicer(), server)


@asynccontextmanager
async def everything():
    """A channel to a server that has every RPC there is, and tokens."""
    async with (
        serving(StoreClient.service, _add_all, tokens=GIVEN) as address,
        grpc.aio.insecure_channel(address) as it,
    ):
        yield it


async def answer(channel: grpc.aio.Channel, method: str, metadata) -> grpc.StatusCode:
    """The status of a call with an empty message, or none: who sends on may learn that nobody reads, and no more."""
    known = descriptor_pool.Default().FindMethodByName(method[1:].replace("/", "."))
    if known.client_streaming:
        call = channel.stream_unary(method)(metadata=metadata, timeout=10)
    elif known.server_streaming:
        call = channel.unary_stream(method)(b"", metadata=metadata)
    else:
        call = channel.unary_unary(method)(b"", metadata=metadata)
    return await call.code()


@pytest.mark.parametrize("method", METHODS)
async def test_every_rpc_asks_for_a_token_of_its_role(method):
    needed = METHODS[method].role
    async with everything() as channel:
        assert await answer(channel, method, ()) is grpc.StatusCode.UNAUTHENTICATED
        assert await answer(channel, method, bearer(UNKNOWN)) is grpc.StatusCode.UNAUTHENTICATED
        for role, token in TOKENS.items():
            code = await answer(channel, method, bearer(token))
            assert (code in REFUSALS) == (role < needed)
            assert code is grpc.StatusCode.PERMISSION_DENIED or role >= needed


@pytest.mark.parametrize(
    "header", ["", "Bearer", f"Basic {TOKENS[Role.READ]}", TOKENS[Role.READ], f"Bearer {UNKNOWN}", "Bearer a b"]
)
async def test_a_header_that_is_no_known_token_lets_nobody_in(header):
    async with counting(tokens=GIVEN) as address, grpc.aio.insecure_channel(address) as channel:
        stub = store_pb2_grpc.StoreServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await stub.GetStats(store_pb2.GetStatsRequest(), metadata=(("authorization", header),))
    assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_caller_without_a_token_is_told_which_service_wants_one():
    async with counting(tokens=GIVEN) as address, StoreClient(address) as client:
        with pytest.raises(UnauthenticatedError, match=f"^StoreService at {address}: no token: send it as metadata"):
            await client.stats()


async def test_a_caller_of_too_low_a_role_is_told_which_it_needs():
    credentials, told = Credentials(token=TOKENS[Role.READ]), "needs a token of the role write; that of reader is read"
    async with counting(tokens=GIVEN) as address, StoreClient(address, credentials) as client:
        with pytest.raises(ForbiddenError, match=f"^StoreService at {address}: DeleteVideo {told}$"):
            await client.delete_video("x")


async def test_what_a_stranger_sends_is_not_read():
    """Who has no token learns nothing, not even whether it was a message."""
    async with everything() as channel:
        method = "/videosearch.v1.StoreService/FindScenes"
        assert await channel.unary_unary(method)(b"\xff" * 100).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_a_stranger_sends_is_not_made_a_message():
    """Which may take thirty times the memory."""
    made = []

    async def find(request, context):
        return b""

    def add(server: grpc.aio.Server) -> None:
        handler = grpc.unary_unary_rpc_method_handler(find, made.append)
        server.add_registered_method_handlers(StoreClient.service, {"FindScenes": handler})

    async with (
        serving(StoreClient.service, add, tokens=GIVEN) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        call = channel.unary_unary("/videosearch.v1.StoreService/FindScenes")
        assert await call(b"x").code() is grpc.StatusCode.UNAUTHENTICATED
        assert made == []
        assert await call(b"x", metadata=bearer(TOKENS[Role.READ])).code() is grpc.StatusCode.OK
        assert made == [b"x"]


async def test_health_is_open_to_all():
    async with counting(tokens=GIVEN) as address, grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=StoreClient.service)
        assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
        watching = stub.Watch(request)
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()


async def services_by_reflection(address: str, metadata) -> list[str]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (response,) = [each async for each in stub.ServerReflectionInfo(iter([request]), metadata=metadata)]
        return [service.name for service in response.list_services_response.service]


async def test_reflection_asks_for_a_token_of_any_role():
    async with counting(tokens=GIVEN) as address:
        assert StoreClient.service in await services_by_reflection(address, bearer(TOKENS[Role.READ]))
        async with grpc.aio.insecure_channel(address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            for metadata in ((), bearer(UNKNOWN)):
                call = stub.ServerReflectionInfo(metadata=metadata, timeout=10)
                assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_tokens_that_are_replaced_hold_from_the_next_call_on_and_end_none(tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    servicer, known, mine = Counting(), tmp_path / "tokens", tmp_path / "token"
    old, new = TOKENS[Role.ADMIN], TOKENS[Role.READ]
    known.write_text(line(old, Role.ADMIN))
    mine.write_text(old)
    async with (
        counting(servicer, tokens_file=known) as address,
        StoreClient(address, Credentials(token_file=mine)) as client,
    ):
        servicer.pieces.put_nowait(b"first")
        stream = aiter(client.backup())
        assert await anext(stream) == b"first"
        known.write_text(line(new))
        with pytest.raises(UnauthenticatedError):
            await client.stats()
        mine.write_text(new)
        await client.stats()
        servicer.pieces.put_nowait(b"last")
        assert await anext(stream) == b"last"
        await stream.aclose()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
async def test_a_server_does_not_take_tokens_from_other_machines_without_tls(listen):
    with pytest.raises(StartupError, match="without TLS: set VIDEOSEARCH_TLS_CERTIFICATE_FILE") as failure:
        async with counting(listen=listen, tokens=GIVEN):
            pass
    assert not any(token in str(failure.value) for token in TOKENS.values())


async def test_it_does_with_tls_or_where_it_is_allowed_to(tmp_path):
    authority = Authority(tmp_path)
    for settings in (tls(authority.issue("server")), {"tokens_over_plaintext": True}):
        async with counting(listen="0.0.0.0:0", tokens=GIVEN, **settings) as address:
            ca = authority.file if "tls_key_file" in settings else None
            async with StoreClient(address, Credentials(ca, token=TOKENS[Role.READ])) as client:
                assert (await client.stats()).video_count == 3


async def test_tokens_come_by_a_socket_of_this_machine(tmp_path):
    listen = f"unix:{tmp_path}/store.sock"
    credentials = Credentials(token=TOKENS[Role.READ])
    async with counting(listen=listen, tokens=GIVEN), StoreClient(listen, credentials) as client:
        assert (await client.stats()).video_count == 3


@pytest.mark.parametrize("settings", [{"tokens": "a:read:short"}, {"tokens_file": "/nowhere/tokens"}])
async def test_tokens_that_cannot_be_read_stop_the_start(settings):
    with pytest.raises(StartupError, match="cannot read tokens: "):
        async with counting(**settings):
            pass


async def test_a_server_that_is_open_to_other_machines_says_so(caplog):
    async with counting(listen="0.0.0.0:0"):
        pass
    assert [record.address for record in caplog.records if record.message == "open to all"] == ["0.0.0.0:0"]
