"""More searches than a slow store can take: some are told so at once, the others are answered soon."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.common import metrics, vectors
from services.common.clients.store import StoreClient
from services.common.errors import OverloadedError
from services.common.ranking import SceneRanking
from services.store import workers
from services.store.catalog import Catalog
from tests.stores import query_of, scenes, store, video

CALLS = 500
SEARCH_S = 0.05


class Slow(Catalog):
    def find_scenes(self, query, ranking):
        time.sleep(SEARCH_S)
        return super().find_scenes(query, ranking)


async def told(client: StoreClient, number: int) -> OverloadedError | None:
    """How a search was refused, each for something else."""
    query = query_of(vectors.normalize(np.random.default_rng(number).standard_normal(8)))
    try:
        await client.find_scenes(query, SceneRanking())
    except OverloadedError as refusal:
        return refusal
    return None


def mean_s(code: str) -> float:
    """How long the store took for a search that ended so."""
    labels = {"method": "/videosearch.v1.StoreService/FindScenes", "code": code}
    total, count = (REGISTRY.get_sample_value(f"videosearch_rpc_seconds_{name}", labels) for name in ("sum", "count"))
    return total / count


@pytest.fixture
async def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With two threads."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    metrics.RPC_SECONDS.clear()
    async with store(tmp_path, Slow) as client:
        await client.put_video(video(), scenes(3))
        yield client


async def test_of_too_many_searches_some_are_refused_at_once_and_the_others_answered_soon(slow):
    refusals = list(filter(None, await asyncio.gather(*(told(slow, number) for number in range(CALLS)))))
    answered = CALLS - len(refusals)
    assert workers.FEWEST_WAITING <= answered < CALLS / 2
    assert mean_s("RESOURCE_EXHAUSTED") < 0.01
    assert mean_s("OK") < CALLS * SEARCH_S / 2 / 3
    assert all(workers.LONGEST_WAIT_S < refusal.retry_after_s < 10 for refusal in refusals)
    assert REGISTRY.get_sample_value("videosearch_store_searches_waiting") == 0
