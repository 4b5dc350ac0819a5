"""What a refusal tells, as a caller of any language reads it by the means of gRPC alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common import errors, status
from services.common.clients.store import StoreClient
from services.common.errors import InvalidInputError, NotFoundError, OverloadedError, UnavailableError, VideosearchError
from services.common.interceptors import Context
from tests.servers import serving
from videosearch.v1 import store_pb2, store_pb2_grpc

REQUEST_ID = "abc-123"
DEEPEST = "filter.condition" + ".all.conditions[999]" * 16 + ".metadata_in.key"


class Refusing(store_pb2_grpc.StoreServiceServicer):
    def __init__(self, refusal: VideosearchError) -> None:
        self._refusal = refusal

    async def FindScenes(self, request: store_pb2.FindScenesRequest, context: Context) -> store_pb2.FindScenesResponse:
        raise self._refusal


@asynccontextmanager
async def refusing(refusal: VideosearchError) -> AsyncIterator[str]:
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with serving(StoreClient.service, add, Refusing(refusal)) as address:
        yield address


async def failure(refusal: VideosearchError, request_id: str = REQUEST_ID) -> grpc.aio.AioRpcError:
    """As a client has it that is not ours."""
    async with refusing(refusal) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await store_pb2_grpc.StoreServiceStub(channel).FindScenes(
                store_pb2.FindScenesRequest(), metadata=(("x-request-id", request_id),)
            )
    return raised.value


def detail(of: grpc.aio.AioRpcError, kind: type[Message]) -> Message | None:
    found = kind()
    return found if any(packed.Unpack(found) for packed in rpc_status.from_call(of).details) else None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidInputError, "INVALID_INPUT"),
        (NotFoundError, "NOT_FOUND"),
        (OverloadedError, "OVERLOADED"),
        (errors.DataLossError, "DATA_LOSS"),
    ],
)
async def test_a_refusal_tells_its_reason_and_the_request_id(error, reason):
    info = detail(await failure(error("no")), error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, info.metadata["request_id"]) == (reason, status.DOMAIN, REQUEST_ID)


@pytest.mark.parametrize("error", errors.VideosearchError.__subclasses__())
async def test_the_details_say_the_same_as_the_status(error):
    seen = await failure(error("no"))
    found = rpc_status.from_call(seen)
    assert (found.code, found.message) == (seen.code().value[0], seen.details())


async def test_who_comes_too_much_is_told_when_to_come_again():
    hint = detail(await failure(OverloadedError("full", retry_after_s=2.5)), error_details_pb2.RetryInfo)
    assert hint.retry_delay.ToMilliseconds() == 2500


async def test_our_clients_are_told_so_too():
    async with refusing(OverloadedError("full", retry_after_s=2.5)) as address, StoreClient(address) as client:
        with pytest.raises(OverloadedError) as refusal:
            await client._call(client._stub.FindScenes, store_pb2.FindScenesRequest())
    assert refusal.value.retry_after_s == 2.5


async def test_nobody_else_is_told_when_to_come_again():
    assert detail(await failure(UnavailableError("loading")), error_details_pb2.RetryInfo) is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("top_k is 0; it must be 1 to 1000", "top_k"),
        ("filter.video_ids[2] is empty", "filter.video_ids[2]"),
        ("parts[0].embedding: a vector is short", "parts[0].embedding"),
        ("nothing like it here", None),
        ("filter.nothing is wrong", None),
        ("top_k.value is wrong", None),
        ("top_kk is wrong", None),
    ],
)
async def test_a_field_is_named_where_the_request_has_it(text, field):
    violations = detail(await failure(InvalidInputError(text)), error_details_pb2.BadRequest).field_violations
    assert [(each.field, each.description) for each in violations] == ([(field, text)] if field else [])


@pytest.mark.parametrize(
    "character", ["x", "\N{CJK UNIFIED IDEOGRAPH-8A9E}", "\0", "\n", "%", "\ud800", "\N{PILE OF POO}"]
)
@pytest.mark.parametrize("error", [InvalidInputError, OverloadedError])
async def test_a_refusal_of_any_length_arrives_with_its_details(error, character):
    seen = await failure(error(f"{DEEPEST} is {character * 10_000}"), "i" * 128)
    assert seen.code() is status.STATUS[error]
    assert seen.details().startswith(DEEPEST)
    assert detail(seen, error_details_pb2.ErrorInfo).metadata["request_id"] == "i" * 128
    size = sum(len(key) + len(value) * 4 / 3 + 32 for key, value in seen.trailing_metadata())
    assert size + 3 * len(seen.details().encode()) < 8192
