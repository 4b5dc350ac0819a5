"""What happens around every call, seen from outside."""

import asyncio
import logging
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from services.common import call
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.errors import DeadlineError, NotFoundError, OverloadedError
from services.common.media import Video
from tests.servers import serving
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc, store_pb2, store_pb2_grpc

SERVICE = "videosearch.v1.StoreService"
VIDEO = Video("v", "/v.mp4", "", "", "model", 1)


class Relay(store_pb2_grpc.StoreServiceServicer):
    """GetVideo asks the next store, as one service asks another."""

    def __init__(self, next_store: StoreClient) -> None:
        self._next_store = next_store

    async def GetVideo(self, request, context):
        await self._next_store.video(request.video_id)


class Witness(store_pb2_grpc.StoreServiceServicer):
    """Fails in the way that is asked for and notes what it sees."""

    def __init__(self) -> None:
        self.request_id = ""
        self.remaining_s: float | None = None
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()

    async def GetVideo(self, request, context):
        self.request_id = call.request_id()
        self.remaining_s = context.time_remaining()
        raise NotFoundError(f"no video {request.video_id!r}")

    async def DeleteVideo(self, request, context):
        raise ValueError("the password is hunter2")

    async def PutVideo(self, request_iterator, context):
        async for _ in request_iterator:
            raise OverloadedError("too many scenes")

    async def GetStats(self, request, context):
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Jobs(indexer_pb2_grpc.IndexerServiceServicer):
    """Watching job "missing" fails at once, "broken" after the first state; any other goes on until it is left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def WatchIndexJob(self, request, context):
        if request.job_id == "missing":
            raise NotFoundError("no job 'missing'")
        try:
            yield indexer_pb2.WatchIndexJobResponse(job=indexer_pb2.IndexJob(job_id=request.job_id, state=2, stage=2))
            if request.job_id == "broken":
                raise ValueError("the password is hunter2")
            await asyncio.Event().wait()
        finally:
            self.left.set()


@asynccontextmanager
async def store(servicer):
    """A store's servicer behind a real server."""
    async with serving(SERVICE, lambda s: store_pb2_grpc.add_StoreServiceServicer_to_server(servicer, s)) as address:
        yield address


@asynccontextmanager
async def relayed(witness: Witness):
    """The address of a service that asks the witness."""
    async with store(witness) as last, StoreClient(last) as next_store, store(Relay(next_store)) as first:
        yield first


@pytest.fixture
async def jobs():
    servicer = Jobs()
    add = indexer_pb2_grpc.add_IndexerServiceServicer_to_server
    async with serving(IndexerClient.service, lambda s: add(servicer, s)) as address, IndexerClient(address) as client:
        yield servicer, client


def get_video(channel: grpc.aio.Channel, **options):
    return store_pb2_grpc.StoreServiceStub(channel).GetVideo(store_pb2.GetVideoRequest(video_id="x"), **options)


def logged(caplog, message: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.message == message]


async def test_the_request_id_reaches_the_next_service():
    witness = Witness()
    async with relayed(witness) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await get_video(channel, metadata=(("x-request-id", "abc-123"),))
    assert witness.request_id == "abc-123"


async def test_the_caller_gets_the_request_id_back():
    async with store(Witness()) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await get_video(channel, metadata=(("x-request-id", "abc-123"),))
    assert dict(failure.value.trailing_metadata())["x-request-id"] == "abc-123"


async def test_a_call_without_a_request_id_is_given_one():
    witness = Witness()
    async with store(witness) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await get_video(channel)
    assert witness.request_id == dict(failure.value.trailing_metadata())["x-request-id"] != ""


async def test_the_deadline_reaches_the_next_service_and_is_no_longer():
    witness = Witness()
    async with relayed(witness) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await get_video(channel, timeout=7)
    assert 0 < witness.remaining_s <= 7


async def test_a_call_without_a_deadline_still_has_one_at_the_next_service():
    witness = Witness()
    async with relayed(witness) as address, grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await get_video(channel)
    assert 0 < witness.remaining_s < 31  # on its way gRPC rounds it up


async def test_a_domain_error_of_a_unary_call_has_its_status_and_text():
    async with store(Witness()) as address, StoreClient(address) as client:
        with pytest.raises(NotFoundError, match="no video 'x'"):
            await client.video("x")


async def test_a_domain_error_of_a_client_stream_has_its_status_and_text():
    async with store(Witness()) as address, StoreClient(address) as client:
        with pytest.raises(OverloadedError, match="too many scenes"):
            await client.put_video(VIDEO, ())


async def test_a_domain_error_of_a_server_stream_has_its_status_and_text(jobs):
    with pytest.raises(NotFoundError, match="no job 'missing'"):
        _ = [job async for job in jobs[1].watch_job("missing")]


async def test_an_unknown_exception_tells_the_caller_nothing():
    async with store(Witness()) as address, StoreClient(address) as client:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await client.delete_video("x")
    assert failure.value.code() == grpc.StatusCode.INTERNAL
    assert failure.value.details() == "internal error; the server's log has the details"


async def test_an_unknown_exception_is_logged_with_its_traceback_once(caplog):
    async with store(Witness()) as address, StoreClient(address) as client:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.delete_video("x")
    (record,) = logged(caplog, "unexpected failure")
    assert "hunter2" in str(record.exc_info[1])


async def test_an_unknown_exception_in_a_server_stream_tells_the_caller_nothing(jobs):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        _ = [job async for job in jobs[1].watch_job("broken")]
    assert failure.value.details() == "internal error; the server's log has the details"


async def test_a_call_is_logged_with_its_method_and_code(caplog):
    caplog.set_level(logging.INFO)
    async with store(Witness()) as address, StoreClient(address) as client:
        with pytest.raises(NotFoundError):
            await client.video("x")
    (record,) = logged(caplog, "call")
    assert (record.method, record.code) == ("/videosearch.v1.StoreService/GetVideo", "NOT_FOUND")


async def test_a_caller_that_leaves_cancels_the_work():
    witness = Witness()
    async with store(witness) as address, StoreClient(address) as client:
        asking = asyncio.create_task(client.stats())
        await witness.entered.wait()
        asking.cancel()
        await asyncio.wait_for(witness.cancelled.wait(), 5)


async def test_a_watcher_that_leaves_closes_the_stream(jobs):
    servicer, client = jobs
    watching = client.watch_job("endless")
    await anext(watching)
    await watching.aclose()
    await asyncio.wait_for(servicer.left.wait(), 5)


async def test_a_passed_deadline_is_an_error_of_its_own():
    async with store(Witness()) as address, StoreClient(address) as client:
        call.begin(remaining_s=0.05)
        with pytest.raises(DeadlineError, match=address):
            await client.stats()


async def test_a_stream_on_behalf_of_a_call_does_not_outlast_it(jobs):
    servicer, client = jobs
    call.begin(remaining_s=0.2)
    with pytest.raises(DeadlineError):
        _ = [job async for job in client.watch_job("endless")]
    await asyncio.wait_for(servicer.left.wait(), 5)


async def test_health_answers_for_the_service():
    async with store(Witness()) as address, StoreClient(address) as client:
        assert await client.serving()


async def test_health_can_be_watched():
    async with store(Witness()) as address, grpc.aio.insecure_channel(address) as channel:
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        first = await watching.read()
        watching.cancel()
    assert first.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_describes_the_service():
    def methods(address: str) -> list[str]:
        with grpc.insecure_channel(address) as channel:
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            return [method.name for method in pool.FindServiceByName(SERVICE).methods]

    async with store(Witness()) as address:
        assert "FindScenes" in await asyncio.to_thread(methods, address)


async def test_a_call_whose_deadline_has_passed_is_counted_as_that(caplog):
    caplog.set_level(logging.INFO)
    async with store(Witness()) as address, StoreClient(address) as client:
        call.begin(remaining_s=0.2)
        with pytest.raises(DeadlineError):
            await client.stats()
    (record,) = logged(caplog, "call")
    assert record.code == "DEADLINE_EXCEEDED"
