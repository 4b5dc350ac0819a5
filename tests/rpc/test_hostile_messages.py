"""What is no message, or no gRPC, or comes from a caller that has gone, is nobody's failure."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import call
from services.common.server import LIVENESS
from tests.fuzz.damage import LENGTH, of_length, tag
from tests.fuzz.port import call_of, sent
from tests.servers import serving
from videosearch.v1 import media_pb2, store_pb2, store_pb2_grpc

SERVICE = "videosearch.v1.StoreService"
NO_MESSAGE = b"\xff"


class Listener(store_pb2_grpc.StoreServiceServicer):
    """Reads what it is sent; GetStats ends as gRPC ends what tells something to a caller that has just gone."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def GetVideo(self, request, context):
        self.entered.set()
        await self.go_on.wait()
        return store_pb2.GetVideoResponse()

    async def FindVideos(self, request, context):
        return store_pb2.FindVideosResponse()

    async def PutVideo(self, request_iterator, context):
        async for _ in request_iterator:
            pass
        return store_pb2.PutVideoResponse()

    async def GetStats(self, request, context):
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise grpc.aio.InternalError('Failed "execute_batch"') from None


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def channel(listener: Listener) -> AsyncIterator[grpc.aio.Channel]:
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with serving(SERVICE, add, listener) as address, grpc.aio.insecure_channel(address) as open_channel:
        yield open_channel


async def refusal(answer) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        _ = [response async for response in answer] if hasattr(answer, "__aiter__") else await answer
    return failure.value.code(), failure.value.details()


def is_clear(refused: tuple[grpc.StatusCode, str]) -> bool:
    return refused[0] is grpc.StatusCode.INVALID_ARGUMENT and "no message of the type" in refused[1]


async def test_a_request_that_is_no_message_is_refused(channel):
    assert is_clear(await refusal(channel.unary_unary(f"/{SERVICE}/FindVideos")(NO_MESSAGE)))


async def test_conditions_that_nest_deeper_than_protobuf_reads_are_refused(channel):
    nested = b""
    for _ in range(150):
        nested = tag(media_pb2.VideoCondition.NOT_FIELD_NUMBER, LENGTH) + of_length(nested)
    condition = tag(media_pb2.VideoFilter.CONDITION_FIELD_NUMBER, LENGTH) + of_length(nested)
    request = tag(store_pb2.FindVideosRequest.FILTER_FIELD_NUMBER, LENGTH) + of_length(condition)
    assert is_clear(await refusal(channel.unary_unary(f"/{SERVICE}/FindVideos")(request)))


@pytest.mark.parametrize("before", [0, 2])
async def test_a_stream_is_refused_where_a_message_is_none(channel, before):
    answer = channel.stream_unary(f"/{SERVICE}/PutVideo")(iter([b""] * before + [NO_MESSAGE]))
    assert is_clear(await refusal(answer))


@pytest.mark.parametrize("method", ["Check", "List"])
async def test_a_health_check_that_is_no_message_is_refused(channel, method):
    assert is_clear(await refusal(channel.unary_unary(f"/grpc.health.v1.Health/{method}")(NO_MESSAGE)))


async def test_watching_the_health_with_no_message_is_refused(channel):
    assert is_clear(await refusal(channel.unary_stream("/grpc.health.v1.Health/Watch")(NO_MESSAGE)))


async def test_reflection_refuses_what_is_no_message(channel):
    method = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert is_clear(await refusal(method(iter([NO_MESSAGE]))))


async def test_health_of_all_services_can_be_listed(channel):
    listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    assert {name: one.status for name, one in listed.statuses.items()} == {"": 1, SERVICE: 1, LIVENESS: 1}


async def test_who_cannot_be_answered_any_more_is_no_failure(channel, listener, caplog):
    caplog.set_level(logging.INFO)
    asking = channel.unary_unary(f"/{SERVICE}/GetStats")(b"")
    await listener.entered.wait()
    asking.cancel()
    await channel.unary_unary(f"/{SERVICE}/FindVideos")(b"")  # by then all is said of the call before
    assert [record.code for record in caplog.records if record.message == "call"] == ["CANCELLED", "OK"]
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_method_named_in_no_text_stops_neither_the_server_nor_any_call(listener, caplog):
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with serving(SERVICE, add, listener) as address, grpc.aio.insecure_channel(address) as channel:
        running = channel.unary_unary(f"/{SERVICE}/GetVideo")(b"")
        await listener.entered.wait()
        for _ in range(20):
            await asyncio.gather(*(sent(address, call_of(b"\xff\x00")) for _ in range(5)))
            assert await channel.unary_unary(f"/{SERVICE}/FindVideos")(b"", timeout=10) == b""
        listener.go_on.set()
        assert await running == b""
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("method", ["/nothing/at/all", "", f"/{SERVICE}/findvideos", f"/{SERVICE}/FindVideos/"])
async def test_a_method_that_is_none_is_unimplemented(channel, method):
    assert (await refusal(channel.unary_unary(method)(b"")))[0] is grpc.StatusCode.UNIMPLEMENTED
    assert (await refusal(channel.stream_stream(method)(iter([b""]))))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_id_that_is_no_plain_text_is_replaced():
    for odd in ("\x1b[31m", "a\r\nb", "\xe4", "\ud800"):
        assert call.begin(odd).request_id not in (odd, "")
