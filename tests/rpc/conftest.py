"""An indexer that does as it is told, for the tests of the command line."""

from collections.abc import AsyncIterator

import pytest

from tests.standins import ToldIndexer, indexer_at


@pytest.fixture
async def indexer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ToldIndexer]:
    """Serves at the address where the command line looks for it."""
    servicer = ToldIndexer()
    async with indexer_at(servicer) as address:
        monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", address)
        yield servicer
