"""`videosearch status` says what is wrong, what to do, and where the runbook says more."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from cli.problems import RUNBOOK
from services.common.clients.indexer import IndexerClient
from services.common.jobs import JobState
from services.common.server import Server
from services.common.settings import ServerSettings
from services.store import accelerator
from services.store.catalog import Catalog
from tests.commands import run, services
from tests.standins import LONG_AGO, WordEmbedder, fill
from tests.stores import indexed, scenes, store, video
from videosearch.v1 import indexer_pb2_grpc

NOBODY = "127.0.0.1:1"


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture(autouse=True)
async def videos(embedder, indexer, tmp_path, monkeypatch):
    """All four services, two videos in the store."""
    async with services(embedder, tmp_path / "data", monkeypatch) as client:
        await fill(client)
        yield


async def problems():
    """Summary and section of the runbook of each."""
    found = json.loads((await run("status", "--json")).stdout)["problems"]
    return [(problem["summary"], problem["runbook"].removeprefix(f"{RUNBOOK}#")) for problem in found]


async def test_all_is_well():
    assert (await run("status")).stderr == "All is well.\n"
    assert await problems() == []


async def test_a_problem_is_told_with_what_to_do(embedder):
    embedder.model = "words-2"
    assert re.search(
        r"\AThe store holds embeddings of model words-1, the embedder serves words-2: searches are refused\. "
        r"Serve that model again.* See docs/runbook\.md#model-mismatch\.\n\Z",
        (await run("status")).stderr,
    )


async def test_a_service_that_is_away_is_told_with_its_setting(monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", NOBODY)
    ((summary, section),) = await problems()
    assert (summary.startswith(f"The indexer cannot be reached: IndexerService at {NOBODY}"), section) == (
        True,
        "unreachable",
    )
    assert "or set VIDEOSEARCH_INDEXER_ADDRESS" in (await run("status")).stderr


async def test_who_has_no_token_is_told_so_though_the_service_serves(indexer, monkeypatch):
    settings = ServerSettings(listen="127.0.0.1:0", tokens=SecretStr(f"somebody:read:{'x' * 40}"), grace_s=0)
    add = indexer_pb2_grpc.add_IndexerServiceServicer_to_server
    async with Server(settings, IndexerClient.service, lambda server: add(indexer, server)) as server:
        await server.ready()
        monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", f"127.0.0.1:{server.port}")
        ((summary, section),) = await problems()
        assert (summary[:25], section) == ("The indexer refuses you: ", "unauthenticated")
        monkeypatch.setenv("VIDEOSEARCH_TOKEN", "x" * 40)
        assert await problems() == []


async def test_jobs_that_failed_today_are_told_and_older_ones_are_not(indexer):
    await run("index", "/videos/fail.mp4", "/videos/fail2.mp4")
    old, new = indexer.jobs.values()
    assert old.end_time - LONG_AGO < timedelta(seconds=2)
    assert await problems() == []
    indexer.jobs[new.job_id] = replace(new, end_time=datetime.now(UTC))
    assert await problems() == [("Jobs have failed within a day: 1.", "jobs-failing")]


async def test_jobs_that_wait_while_none_runs_are_told(indexer):
    await run("index", "/videos/a.mp4", "--no-wait")
    assert await problems() == [("Jobs wait and none is worked on: 1.", "jobs-stuck")]
    (job,) = indexer.jobs.values()
    indexer.jobs["other"] = replace(job, job_id="other", state=JobState.RUNNING)
    assert await problems() == []


async def test_an_approximate_index_that_failed_is_told_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "MIN_SAMPLES", 3)
    monkeypatch.setattr(accelerator, "training_rows", lambda count: count + 1)
    with Catalog(tmp_path / "store") as catalog:
        catalog.put(indexed(video(), scenes(3)))
    async with store(tmp_path / "store") as client:
        monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", client.address)
        while not (await client.stats()).approximate_failure:
            pass
        told = dict(await problems())
    (summary,) = (summary for summary, section in told.items() if section == "approximate-index")
    assert summary.startswith("The store's approximate index has failed: ValueError: Cannot take")
