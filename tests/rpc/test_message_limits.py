"""Messages beyond their method's limit: the caller is told so, whoever finds out."""

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.clients.store import StoreClient
from services.common.errors import InvalidInputError
from services.common.interceptors import HEALTH_BYTES
from services.common.methods import LARGE_BYTES, METHODS, SMALL_BYTES
from tests.servers import serving
from tests.stores import video
from videosearch.v1 import store_pb2, store_pb2_grpc

ANY_SIZE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Store(store_pb2_grpc.StoreServiceServicer):
    """Counts its calls; how much it answers, the page token tells."""

    def __init__(self) -> None:
        self.calls = 0

    async def GetVideo(self, request, context):
        self.calls += 1
        return store_pb2.GetVideoResponse()

    async def ListVideos(self, request, context):
        return store_pb2.ListVideosResponse(next_page_token="x" * int(request.page_token))

    async def PutVideo(self, request_iterator, context):
        async for _ in request_iterator:
            self.calls += 1
        return store_pb2.PutVideoResponse()


@pytest.fixture
async def servicer() -> Store:
    return Store()


@pytest.fixture
async def client(servicer: Store) -> AsyncIterator[StoreClient]:
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with serving(StoreClient.service, add, servicer) as address, StoreClient(address) as client:
        yield client


@pytest.fixture
async def other(client: StoreClient) -> AsyncIterator[store_pb2_grpc.StoreServiceStub]:
    """Of somebody who knows no limits."""
    async with grpc.aio.insecure_channel(client.address, options=ANY_SIZE) as channel:
        yield store_pb2_grpc.StoreServiceStub(channel)


def get_video(size_bytes: int) -> store_pb2.GetVideoRequest:
    """A request of that size."""
    head = len(store_pb2.GetVideoRequest(video_id="x" * size_bytes).SerializeToString()) - size_bytes
    return store_pb2.GetVideoRequest(video_id="x" * (size_bytes - head))


async def test_a_message_as_large_as_its_method_allows_is_taken(servicer, client, other):
    await client._call(client._stub.GetVideo, get_video(SMALL_BYTES))
    await other.GetVideo(get_video(SMALL_BYTES))
    assert servicer.calls == 2


@pytest.mark.parametrize(
    ("size", "limit"), [(SMALL_BYTES + 1, SMALL_BYTES), (LARGE_BYTES, SMALL_BYTES), (LARGE_BYTES + 1, LARGE_BYTES)]
)
async def test_any_caller_gets_the_same_answer_to_what_is_larger(servicer, other, size, limit):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await other.GetVideo(get_video(size))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.value.details() == f"SERVER: Received message larger than max ({size} vs. {limit})"
    assert servicer.calls == 0


async def test_a_message_of_a_stream_has_a_limit_too(servicer, other):
    putting = other.PutVideo()
    await putting.write(store_pb2.PutVideoRequest())
    await putting.write(store_pb2.PutVideoRequest(video={"title": "x" * LARGE_BYTES}))
    assert await putting.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"vs. {LARGE_BYTES})" in await putting.details()
    assert servicer.calls <= 1


@pytest.mark.parametrize("method", ["Check", "Watch"])
async def test_a_stranger_who_asks_for_health_leaves_little_behind(client, method):
    async with grpc.aio.insecure_channel(client.address) as channel:
        asking = getattr(health_pb2_grpc.HealthStub(channel), method)
        answer = asking(health_pb2.HealthCheckRequest(service="x" * 2 * HEALTH_BYTES), timeout=10)
        assert await answer.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_our_clients_send_nothing_that_is_too_large_and_try_it_once(servicer, client):
    with pytest.raises(InvalidInputError, match=rf"larger than max \(\d+ vs. {SMALL_BYTES}\)"):
        await client.video("x" * SMALL_BYTES)
    with pytest.raises(InvalidInputError, match=rf"larger than max \(\d+ vs. {LARGE_BYTES}\)"):
        await client.put_video(video(title="x" * LARGE_BYTES), ())
    assert servicer.calls == 0


async def test_an_answer_that_is_too_large_is_told_as_such(client, other):
    with pytest.raises(InvalidInputError, match=rf"larger than max \(\d+ vs. {LARGE_BYTES}\)"):
        await client.videos(page_token=str(LARGE_BYTES))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await other.ListVideos(store_pb2.ListVideosRequest(page_token=str(LARGE_BYTES)))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_no_method_takes_more_than_a_connection_does():
    assert max(max(method.request_bytes, method.response_bytes) for method in METHODS.values()) == LARGE_BYTES
