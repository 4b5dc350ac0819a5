"""What is asked again by itself, and what is not: counted where it arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.common.clients.store import StoreClient
from services.common.connection import RETRY_BUDGET, RETRY_POLICY
from services.common.errors import UnavailableError, VideosearchError
from tests.proxies import Proxy, proxied
from tests.servers import serving
from tests.stores import video
from videosearch.v1 import store_pb2, store_pb2_grpc

ATTEMPTS = RETRY_POLICY["maxAttempts"]


class Fragile(store_pb2_grpc.StoreServiceServicer):
    """Its connection breaks while it answers, as often as it is told."""

    def __init__(self) -> None:
        self.proxy: Proxy | None = None
        self.to_break = 0
        self.refusal: VideosearchError | None = None
        self.arrived = 0

    async def GetVideo(self, request, context):
        await self._arrive()
        return store_pb2.GetVideoResponse(video={"video_id": "v"})

    async def DeleteVideo(self, request, context):
        await self._arrive()
        return store_pb2.DeleteVideoResponse()

    async def PutVideo(self, request_iterator, context):
        await self._arrive()
        return store_pb2.PutVideoResponse()

    async def _arrive(self) -> None:
        self.arrived += 1
        if self.refusal:
            raise self.refusal
        if self.to_break:
            self.to_break -= 1
            self.proxy.cut()
            await asyncio.Event().wait()


@asynccontextmanager
async def fragile(to_break: int = 0) -> AsyncIterator[tuple[Fragile, StoreClient]]:
    servicer = Fragile()
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with (
        serving(StoreClient.service, add, servicer) as address,
        proxied(address) as servicer.proxy,
        StoreClient(servicer.proxy.address) as client,
    ):
        servicer.to_break = to_break
        yield servicer, client


async def test_a_lost_connection_costs_no_call_that_may_be_asked_again():
    async with fragile(to_break=ATTEMPTS - 1) as (servicer, client):
        assert (await client.video("v")).video_id == "v"
    assert servicer.arrived == ATTEMPTS


async def test_a_call_is_asked_again_a_few_times_only():
    async with fragile(to_break=100) as (servicer, client):
        with pytest.raises(UnavailableError):
            await client.video("v")
    assert servicer.arrived == ATTEMPTS


async def test_a_call_that_changes_something_is_never_asked_again():
    async with fragile(to_break=100) as (servicer, client):
        with pytest.raises(UnavailableError):
            await client.delete_video("v")
        with pytest.raises(UnavailableError):
            await client.put_video(video(), [])
    assert servicer.arrived == 2


async def test_what_is_refused_on_purpose_is_not_asked_again():
    async with fragile() as (servicer, client):
        servicer.refusal = UnavailableError("still loading")
        with pytest.raises(UnavailableError, match="still loading"):
            await client.video("v")
    assert servicer.arrived == 1


async def test_where_much_fails_nothing_is_asked_again():
    calls, free_failures = 30, RETRY_BUDGET["maxTokens"] / 2
    async with fragile(to_break=1000) as (servicer, client):
        for _ in range(calls):
            with pytest.raises(UnavailableError):
                await client.video("v")
    assert calls < servicer.arrived <= calls + free_failures
