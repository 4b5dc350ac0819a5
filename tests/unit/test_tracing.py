"""Tracing as an operator turns it on, and as it is when nobody has."""

import json
import logging
import os
import socket
import subprocess
import sys
import time

import pytest

from services.common import logs, otlp, tracing
from services.common.clients.store import StoreClient
from services.common.errors import NotFoundError, StartupError
from services.common.stages import stage
from tests.stores import process
from tests.traces import Collector, collecting, described, traced
from tools.stack import free_addresses

CALL = "/videosearch.v1.StoreService/GetVideo"
CALLER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
WITHOUT_THE_EXTRA = "import sys; sys.modules['opentelemetry'] = None; "


def told_by(code: str, *arguments: str, **environment: str) -> str:
    """What a Python process of its own prints on standard error."""
    command = (sys.executable, "-c", code, *arguments)
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return ended.stderr.strip()


def test_nothing_of_opentelemetry_is_imported_as_long_as_nobody_asks_for_traces():
    code = (
        "import sys, services.search.__main__, services.store.__main__, services.indexer.__main__\n"
        "import services.embedder.servicer, cli.__main__\n"
        "from services.common import tracing\n"
        f"with tracing.present(tracing.begin({CALL!r}, 'SERVER', {{}})), tracing.span('x'), tracing.root('y', {{}}):\n"
        "    tracing.metadata(), tracing.trace_id(), tracing.traceparent()\n"
        "sys.exit([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    assert told_by(code) == "[]"


def test_a_service_without_the_extra_says_so_in_a_line():
    code = WITHOUT_THE_EXTRA + "import runpy; runpy.run_module('services.search', run_name='__main__')"
    told = told_by(code, VIDEOSEARCH_TRACING="true", VIDEOSEARCH_LOG_LEVEL="warning")
    assert told.startswith("cannot start: VIDEOSEARCH_TRACING needs the extra tracing")
    assert "\n" not in told


def test_a_command_without_the_extra_says_so_in_a_line():
    told = told_by(WITHOUT_THE_EXTRA + "from cli.__main__ import main; main()", "status", VIDEOSEARCH_TRACING="true")
    assert told.startswith("videosearch: VIDEOSEARCH_TRACING needs the extra tracing")
    assert "\n" not in told


def test_a_command_says_nothing_of_a_collector_that_is_away():
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{free_addresses()['store']}", "VIDEOSEARCH_TRACING": "true"}
    told = told_by("from cli.__main__ import main; main()", "token", "--help", **away)
    assert told == ""


def test_a_wrong_variable_of_opentelemetry_is_told_in_a_line(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    with pytest.raises(StartupError, match=r"OpenTelemetry .* is wrong: .*'soon'"):
        tracing.configure("test")


async def test_a_service_sends_its_spans_to_a_collector(tmp_path, monkeypatch):
    collector = Collector()
    async with collecting(collector) as endpoint:
        monkeypatch.setenv("VIDEOSEARCH_TRACING", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        store = process(tmp_path)
        await store.start()
        await store.ready()
        async with StoreClient(store.address) as client:
            with pytest.raises(NotFoundError):
                await client.video("x")
        await store.stop()
    assert ("videosearch-store", CALL[1:]) in collector.spans  # it was sent as the service stopped


@pytest.fixture
def silent(monkeypatch):
    """A collector that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.fixture
def stopped():
    yield
    tracing.stop()
    tracing.use(None)


@pytest.mark.usefixtures("silent", "stopped")
def test_a_collector_that_does_not_answer_holds_up_neither_calls_nor_the_end():
    tracing.configure("test")
    begun = time.monotonic()
    for _ in range(3000):  # more than fit into the queue
        tracing.end(tracing.begin(CALL, "SERVER", {}), "OK")
    tracing.stop()
    assert time.monotonic() - begun < tracing.MOMENT_S + 3


@pytest.mark.usefixtures("stopped")
def test_an_outage_of_the_collector_is_one_line(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{free_addresses()['store']}")
    provider, _ = otlp.provider("test", 1.3, last_s=1.0)  # enough for two tries, each of which OpenTelemetry would tell
    tracing.use(provider)
    tracing.end(tracing.begin(CALL, "SERVER", {}), "OK")
    provider.shutdown()
    (record,) = caplog.records
    assert record.getMessage().startswith("Failed to export traces to 127.0.0.1")


def test_a_call_is_part_of_its_callers_trace_and_says_so_to_the_next_service_and_nothing_else():
    with traced():
        span = tracing.begin(CALL, "SERVER", CALLER | {"baggage": "a=b", "tracestate": "vendor=1"})
        with tracing.present(span):
            told = dict(tracing.metadata())
        tracing.end(span, "OK")
    assert told.keys() == {"traceparent", "tracestate"}
    assert CALLER["traceparent"].split("-")[1] == told["traceparent"].split("-")[1]


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_call_whose_caller_tells_nonsense_begins_a_trace(traceparent):
    with traced() as exported:
        tracing.end(tracing.begin(CALL, "SERVER", {"traceparent": traceparent}), "OK")
    (span,) = exported.get_finished_spans()
    assert span.parent is None


def test_a_stage_outside_of_any_trace_is_no_span():
    with traced() as exported, stage("alone"):
        pass
    assert exported.get_finished_spans() == ()


def test_a_stage_that_fails_says_with_what_and_no_more():
    def fail():
        with tracing.root("job", {}), stage("decode"):
            raise ValueError("the password is hunter2")

    with traced() as exported:
        with pytest.raises(ValueError, match="hunter2"):
            fail()
        stages = [span for span in exported.get_finished_spans() if described(span) == "decode"]
    assert [(dict(span.attributes), span.status.description, span.events) for span in stages] == [
        ({"error.type": "ValueError"}, None, ())
    ]


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.ConsoleFormatter()])
def test_a_line_within_a_trace_has_its_id(formatter):
    record = logging.makeLogRecord({"msg": "job done"})
    with traced():
        span = tracing.begin(CALL, "SERVER", CALLER)
        with tracing.present(span):
            inside = formatter.format(record)
        tracing.end(span, "OK")
        outside = formatter.format(record)
    trace_id = CALLER["traceparent"].split("-")[1]
    assert trace_id in inside
    assert trace_id not in outside
    if isinstance(formatter, logs.JsonFormatter):
        assert json.loads(inside)["trace_id"] == trace_id
