"""Traces of calls across services: OpenTelemetry, where its extra is installed and a setting turns it on.

Where they go is told by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Traces travel as W3C `traceparent`;
the spans of calls are named and described as in https://opentelemetry.io/docs/specs/semconv/rpc/grpc. No span has
anything of a request or of an error's text in it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeAlias

from services.common.errors import StartupError
from services.common.methods import METHODS

Span: TypeAlias = Any
"""An opentelemetry.trace.Span, or None for what is not traced."""

SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""Statuses that are errors of the server. To the client, all but OK are."""

MOMENT_S = 0.75
"""Less than the exporter waits before another try, so that one which is in a hurry asks a dead collector once."""

_tracer: Any = None
"""Nothing is imported of OpenTelemetry as long as there is none."""
_stop: Callable[[], None] | None = None


def configure(service: str, timeout_s: float | None = None) -> None:
    """Trace from now on, as the service of that name; StartupError without the extra, or with variables that are wrong.

    `timeout_s` is how long a batch of spans may take on its way, if not as long as OpenTelemetry's variables say.
    """
    global _stop
    try:
        from services.common import otlp

        provider, _stop = otlp.provider(f"videosearch-{service}", timeout_s, MOMENT_S)
    except ModuleNotFoundError as error:
        raise StartupError(f"VIDEOSEARCH_TRACING needs the extra tracing: {error}") from None
    except ValueError as error:
        raise StartupError(f"a variable of OpenTelemetry (OTEL_...) is wrong: {error}") from None
    use(provider)


def stop() -> None:
    """Trace no more; what waits to be sent is sent, if that takes no more than a moment."""
    global _stop  # noqa: PLW0603 - as in `use`
    if _stop is not None:
        use(None)
        _stop()
        _stop = None


def use(provider: Any) -> None:
    """Trace with an opentelemetry.trace.TracerProvider, or with None no more."""
    global _tracer  # noqa: PLW0603 - one a process, as OpenTelemetry's own
    _tracer = provider and provider.get_tracer("videosearch")


def begin(method: str, kind: Literal["SERVER", "CLIENT"], carrier: Mapping[str, str] | None = None) -> Span:
    """The span of a call by its full name, in the present trace, or in that which the call's metadata tells of.

    Only our own methods have one: health checks come each second. It lasts until `end`, in whatever task that is.
    """
    if _tracer is None or method not in METHODS:
        return None
    from opentelemetry import trace

    context = None if carrier is None else _w3c().extract(carrier)
    attributes = {"rpc.system.name": "grpc", "rpc.method": method[1:]}
    return _tracer.start_span(method[1:], context, trace.SpanKind[kind], attributes)


def end(span: Span, code: str) -> None:
    """The call has ended with that status."""
    if span is None:
        return
    if span.is_recording():
        span.set_attribute("rpc.response.status_code", code)
        if code in SERVER_FAULTS or (span.kind.name == "CLIENT" and code != "OK"):
            _fail(span, code)
    span.end()


def present(span: Span) -> AbstractContextManager[Any]:
    """While it lasts, the span is that to which further ones, calls and lines of the log belong."""
    if span is None:
        return nullcontext()
    from opentelemetry import trace

    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def span(name: str) -> AbstractContextManager[None]:
    """A span of the present trace; none outside of any, as in a thread that works for many calls at once."""
    return _working(name) if trace_id() else nullcontext()


def root(name: str, attributes: Mapping[str, str], asked_in: str = "") -> AbstractContextManager[None]:
    """The first span of a trace of its own, linked to the one of the `traceparent` in which it was asked for."""
    if _tracer is None:
        return nullcontext()
    from opentelemetry import trace
    from opentelemetry.context import Context

    asked = trace.get_current_span(_w3c().extract({"traceparent": asked_in})).get_span_context()
    links = [trace.Link(asked)] if asked.is_valid else []
    return _working(name, context=Context(), attributes=attributes, links=links)


@contextlib.contextmanager
def _working(name: str, **how: Any) -> Iterator[None]:
    with _tracer.start_as_current_span(name, **how, record_exception=False, set_status_on_exception=False) as span:
        try:
            yield
        except Exception as error:
            _fail(span, type(error).__name__)
            raise


def metadata(span: Span = None) -> tuple[tuple[str, str], ...]:
    """What a call tells of its span, or of the present one, to the service that it is made to."""
    if _tracer is None:
        return ()
    from opentelemetry import trace

    carrier: dict[str, str] = {}
    _w3c().inject(carrier, trace.set_span_in_context(span) if span else None)
    return tuple(carrier.items())


def traceparent() -> str:
    """Of the present span, as `root` takes it, or ""."""
    return dict(metadata()).get("traceparent", "")


def trace_id() -> str:
    """Of the present trace, in hexadecimal digits, or ""."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""


def _fail(span: Span, error_type: str) -> None:
    from opentelemetry import trace

    span.set_attribute("error.type", error_type)
    span.set_status(trace.StatusCode.ERROR)


@functools.cache
def _w3c() -> Any:
    """Traces only: the baggage of strangers is not carried on."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
