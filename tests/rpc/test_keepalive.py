"""Clients ask between calls whether their server is still there, and it lets them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.common import server
from services.common.clients import channel
from services.common.clients.store import StoreClient
from services.common.connection import SERVER_OPTIONS, Options, channel_options
from tests.proxies import Proxy, proxied
from tests.servers import serving
from videosearch.v1 import store_pb2, store_pb2_grpc

FASTER = 30
"""An idle client asks every second then: gRPC has it ask no more often."""

PINGS = 5
"""The third that comes too soon ends the connection."""


class Store(store_pb2_grpc.StoreServiceServicer):
    async def GetVideo(self, request, context):
        return store_pb2.GetVideoResponse(video={"video_id": request.video_id})


def sooner(options: Options, *hastened: str) -> Options:
    return [(name, value // FASTER if name in hastened else value) for name, value in options]


@asynccontextmanager
async def quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Proxy, StoreClient]]:
    asked, asking = "grpc.http2.min_ping_interval_without_data_ms", "grpc.keepalive_time_ms"
    monkeypatch.setattr(server, "SERVER_OPTIONS", sooner(SERVER_OPTIONS, asked))
    monkeypatch.setattr(channel, "channel_options", lambda *given: sooner(channel_options(*given), asking))
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    async with (
        serving(StoreClient.service, add, Store()) as address,
        proxied(address) as proxy,
        StoreClient(proxy.address) as client,
    ):
        yield proxy, client


async def test_a_client_that_asks_between_calls_is_not_sent_away(monkeypatch):
    async with quick(monkeypatch) as (proxy, client), asyncio.timeout(10):
        await client.video("v")
        for _ in range(PINGS):
            await proxy.heard.wait()
            proxy.heard.clear()
        await client.video("v")
        assert proxy.connections == 1
