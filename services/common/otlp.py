"""How traces leave the process: in the background, by OTLP, and never at the expense of calls.

What cannot be sent is dropped once 2048 spans wait, as OpenTelemetry does it by itself.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

LOGGERS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")
"""They tell of each try to send, and of each span that finds no room."""


class _News(logging.Filter):
    """Lets through that something has not arrived: once, until something has arrived again."""

    told = False

    def filter(self, record: logging.LogRecord) -> bool:
        news = record.levelno >= logging.ERROR and not self.told
        self.told |= news
        return news


_NEWS = _News()


class _Exporter(OTLPSpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            _NEWS.told = False
        return result


def provider(service: str, timeout_s: float | None, last_s: float) -> tuple[TracerProvider, Callable[[], None]]:
    """What makes spans, and what sends the last of them within so many seconds."""
    exporter = _Exporter(timeout=timeout_s)
    _NEWS.told = False
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_NEWS)
    made = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(exporter))

    def stop() -> None:
        ending = threading.Thread(target=made.shutdown, daemon=True)
        ending.start()
        ending.join(last_s)
        if ending.is_alive():
            exporter.shutdown()  # breaks off what is on its way
            ending.join()

    return made, stop
