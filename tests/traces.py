"""Spans as tests see them: kept in memory, or taken by a collector on loopback."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.common import tracing


@contextmanager
def traced() -> Iterator[InMemorySpanExporter]:
    """Trace this process, which may be several services."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    try:
        yield exporter
    finally:
        tracing.use(None)


def described(span: ReadableSpan) -> str:
    """`SERVER FindVideos` for a call, `rank` for a stage."""
    return span.name if span.kind.name == "INTERNAL" else f"{span.kind.name} {span.name.rpartition('/')[2]}"


def paths(spans: Iterable[ReadableSpan]) -> set[str]:
    """Each span, behind those that it is a part of, from the first of its trace on."""
    known = {span.context.span_id: span for span in spans}

    def path(span: ReadableSpan) -> str:
        return f"{path(known[span.parent.span_id])} > {described(span)}" if span.parent else described(span)

    return set(map(path, known.values()))


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Notes what comes: the names of services and of spans."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str]] = []
        self.came = asyncio.Event()

    async def Export(self, request, context):
        for of_resource in request.resource_spans:
            names = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                self.spans += [(names["service.name"], span.name) for span in scope.spans]
        self.came.set()
        return trace_service_pb2.ExportTraceServiceResponse()


@asynccontextmanager
async def collecting(collector: Collector) -> AsyncIterator[str]:
    """The collector's address, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)
