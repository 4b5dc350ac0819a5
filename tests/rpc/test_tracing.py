"""Traces across the services, as a collector would show them."""

import asyncio

import pytest
from opentelemetry import trace

from services.common.clients.credentials import Credentials
from services.common.clients.indexer import IndexerClient
from services.common.clients.store import StoreClient
from services.common.errors import NotFoundError
from tests.commands import run, services
from tests.indexers import ColorEmbedder, embedder_serving, indexing
from tests.rpc.test_interceptors import SERVICE, Jobs, Witness, store
from tests.servers import serving
from tests.standins import WordEmbedder, fill
from tests.traces import Collector, collecting, described, paths, traced
from tests.videos import write_video
from videosearch.v1 import indexer_pb2_grpc

ROOT = "videosearch search > CLIENT SearchVideos > SERVER SearchVideos"


def attributes(spans, description: str) -> dict:
    (span,) = (span for span in spans if described(span) == description)
    return dict(span.attributes) | {"status": span.status.status_code.name}


async def test_one_trace_leads_from_the_command_line_through_search_to_embedder_and_store(tmp_path, monkeypatch):
    with traced() as exported:
        async with services(WordEmbedder(), tmp_path, monkeypatch) as videos:
            await fill(videos)
            exported.clear()
            result = await run("search", "a rabbit")
    assert result.exit_code == 0, result.output
    spans = exported.get_finished_spans()
    assert len({span.context.trace_id for span in spans}) == 1
    assert paths(spans) >= {
        f"{ROOT} > embed > CLIENT EmbedTexts > SERVER EmbedTexts",
        f"{ROOT} > find > CLIENT FindVideos > SERVER FindVideos > rank > score",  # which threads do
    }


async def test_an_index_job_is_a_trace_of_its_own_linked_to_the_call_that_asked_for_it(tmp_path, monkeypatch):
    with traced() as exported:
        async with embedder_serving(ColorEmbedder()) as embedder, indexing(tmp_path, embedder) as indexer:
            monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", indexer.client.address)
            written = write_video(indexer.root / "a.mp4", [0, 1])
            result = await run("index", str(written.path))
    assert result.exit_code == 0, result.output
    spans = {described(span): span for span in exported.get_finished_spans()}
    job, asking = spans["index job"], spans["SERVER IndexVideo"]
    assert job.attributes["videosearch.job_id"]
    assert [link.context.span_id for link in job.links] == [asking.context.span_id]
    assert asking.context.trace_id == spans["videosearch index"].context.trace_id != job.context.trace_id
    assert paths(exported.get_finished_spans()) >= {
        "videosearch index > CLIENT WatchIndexJob > SERVER WatchIndexJob",
        "index job > embed > CLIENT EmbedImages > SERVER EmbedImages",
        "index job > store > CLIENT PutVideo > SERVER PutVideo > commit",
    }


async def test_the_span_of_a_call_says_what_was_called_and_how_it_ended():
    with traced() as exported:
        async with store(Witness()) as address, StoreClient(address) as client:
            with pytest.raises(NotFoundError):
                await client.video("x")
    seen = {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/GetVideo",
        "rpc.response.status_code": "NOT_FOUND",
    }
    spans = exported.get_finished_spans()
    assert attributes(spans, "SERVER GetVideo") == {**seen, "status": "UNSET"}  # the server has done its part
    assert attributes(spans, "CLIENT GetVideo") == {**seen, "error.type": "NOT_FOUND", "status": "ERROR"}


async def test_a_fault_of_the_server_is_an_error_of_its_span():
    with traced() as exported:
        async with store(Witness()) as address, StoreClient(address) as client:
            with pytest.raises(Exception, match="internal error"):
                await client.delete_video("x")
    failed = attributes(exported.get_finished_spans(), "SERVER DeleteVideo")
    assert (failed["status"], failed["error.type"]) == ("ERROR", "INTERNAL")


async def test_spans_tell_nothing_of_requests_tokens_or_what_went_wrong():
    with traced() as exported:
        async with store(Witness()) as address, StoreClient(address, Credentials(token="t0ken")) as client:
            with pytest.raises(Exception, match="internal error"):
                await client.delete_video("s3cret")
    told = "".join(span.to_json() for span in exported.get_finished_spans())
    assert told
    for word in ("t0ken", "s3cret", "hunter2"):
        assert word not in told


@pytest.fixture
async def watched():
    add = indexer_pb2_grpc.add_IndexerServiceServicer_to_server
    async with serving(IndexerClient.service, add, Jobs()) as address, IndexerClient(address) as client:
        yield client


async def test_a_stream_is_a_span_until_it_is_left_and_never_the_one_its_reader_works_in(watched):
    with traced() as exported:
        watching = watched.watch_job("endless")
        await anext(watching)
        assert not trace.get_current_span().get_span_context().is_valid
        assert exported.get_finished_spans() == ()
        await watching.aclose()
        left = attributes(exported.get_finished_spans(), "CLIENT WatchIndexJob")
    assert left["rpc.response.status_code"] == "CANCELLED"


async def test_a_stream_may_be_left_by_another_task(watched, caplog):
    with traced() as exported:
        watching = watched.watch_job("endless")
        await asyncio.create_task(anext(watching))
        await asyncio.create_task(watching.aclose())
        assert attributes(exported.get_finished_spans(), "CLIENT WatchIndexJob")
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_health_checks_are_not_traced():
    with traced() as exported:
        async with store(Witness()) as address, StoreClient(address) as client:
            assert await client.serving()
    assert exported.get_finished_spans() == ()


async def test_a_command_sends_its_trace_before_it_ends(tmp_path, monkeypatch):
    collector = Collector()
    async with collecting(collector) as endpoint, services(WordEmbedder(), tmp_path, monkeypatch):
        monkeypatch.setenv("VIDEOSEARCH_TRACING", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        result = await run("videos", "list")
        assert result.exit_code == 0, result.output
        assert {
            ("videosearch-cli", "videosearch videos"),
            ("videosearch-cli", f"{SERVICE}/ListVideos"),
        } <= set(collector.spans)
