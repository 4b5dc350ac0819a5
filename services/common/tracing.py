"""Traces of calls across services: OpenTelemetry, where its extra is installed and a setting turns it on.

Where they go is told by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Traces travel as W3C `traceparent`.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from services.common.errors import StartupError

Kind = Literal["SERVER", "CLIENT", "INTERNAL"]

_tracer: Any = None
"""Nothing is imported of OpenTelemetry as long as there is none."""


def configure(service: str) -> None:
    """Trace from now on, as the service of that name; StartupError without the extra."""
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise StartupError(f"VIDEOSEARCH_TRACING needs the extra tracing: {error}") from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"videosearch-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def use(provider: Any) -> None:
    """Trace with an opentelemetry.trace.TracerProvider, or with None no more."""
    global _tracer  # noqa: PLW0603 - one a process, as OpenTelemetry's own
    _tracer = provider and provider.get_tracer("videosearch")


def span(name: str, kind: Kind = "INTERNAL", carrier: Mapping[str, str] | None = None) -> AbstractContextManager[Any]:
    """A span of the present trace, or of that which the metadata of a call tells of."""
    return nullcontext() if _tracer is None else _span(name, kind, carrier)


@contextlib.contextmanager
def _span(name: str, kind: Kind, carrier: Mapping[str, str] | None) -> Iterator[Any]:
    from opentelemetry import propagate, trace

    context = propagate.extract(carrier) if carrier is not None else None
    kinds = trace.SpanKind[kind]
    with _tracer.start_as_current_span(name, context, kinds, record_exception=False) as made:
        yield made


def metadata() -> tuple[tuple[str, str], ...]:
    """What a call made now tells of the trace that it belongs to."""
    if _tracer is None:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple(carrier.items())


def trace_id() -> str:
    """Of the present trace, in hexadecimal digits, or ""."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""
