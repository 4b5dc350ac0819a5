"""Indexers for tests: one that does as it is told, for the command line, and the real one."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.indexers import ColorEmbedder, Indexing, embedder_serving, indexing
from tests.standins import ToldIndexer, indexer_at
from tests.stores import store
from videosearch.v1 import store_pb2_grpc


@pytest.fixture
async def indexer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ToldIndexer]:
    """Serves at the address where the command line looks for it."""
    servicer = ToldIndexer()
    async with indexer_at(servicer) as address:
        monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", address)
        yield servicer


@pytest.fixture
def embedder() -> ColorEmbedder:
    return ColorEmbedder()


@pytest.fixture
async def world(tmp_path: Path, embedder: ColorEmbedder) -> AsyncIterator[Indexing]:
    async with embedder_serving(embedder) as address, indexing(tmp_path, address) as world:
        yield world


@pytest.fixture
async def client(tmp_path):
    """Of a store on loopback."""
    async with store(tmp_path) as client:
        yield client


@pytest.fixture
async def stub(client):
    """Of that store, for what its client never sends."""
    async with grpc.aio.insecure_channel(client.address) as channel:
        yield store_pb2_grpc.StoreServiceStub(channel)
