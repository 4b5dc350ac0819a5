"""Logs: events with fields, as JSON for machines or as aligned text for people."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from services.common import call, tracing

LogFormat = Literal["console", "json"]

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(log_format: LogFormat, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """`12:34:56.789 info  job done  job_id=... scenes=12`."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        line = _on_one_line(f"{stamp} {record.levelname.lower():<7} {record.getMessage()}  {fields}".rstrip())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _on_one_line(text: str) -> str:
    """What a caller named must not look like a line of its own, nor talk to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if request_id := call.request_id():
        fields["request_id"] = request_id
    if trace_id := tracing.trace_id():
        fields["trace_id"] = trace_id
    return fields
