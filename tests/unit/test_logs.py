import json
import logging
from contextvars import copy_context

import pytest

from services.common import call, logs


def record(message="job done", error=None, **fields) -> logging.LogRecord:
    made = logging.getLogger("services.test").makeRecord(
        "services.test", logging.INFO, "file.py", 1, message, (), error, extra=fields
    )
    made.created = 0.0
    return made


def raised(error: Exception):
    return type(error), error, None


def test_json_is_an_object_a_line_with_the_event_and_its_fields():
    line = logs.JsonFormatter().format(record(job_id="a", scenes=3))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00+00:00",
        "level": "info",
        "logger": "services.test",
        "event": "job done",
        "job_id": "a",
        "scenes": 3,
    }


def test_json_stays_on_one_line_whatever_a_field_holds():
    assert "\n" not in logs.JsonFormatter().format(record(uri="a\nb", error=raised(ValueError("x\ny"))))


def test_json_has_the_traceback_of_an_exception():
    assert (
        "ValueError: broken"
        in json.loads(logs.JsonFormatter().format(record(error=raised(ValueError("broken")))))["traceback"]
    )


def test_json_writes_what_it_does_not_know_as_text():
    assert json.loads(logs.JsonFormatter().format(record(path=logging)))["path"] == str(logging)


def test_console_is_time_level_event_and_fields():
    assert (
        logs.ConsoleFormatter().format(record(job_id="a", scenes=3))
        == "00:00:00.000 info    job done  job_id=a scenes=3"
    )


def test_console_has_the_traceback_below_the_line():
    first, *rest = logs.ConsoleFormatter().format(record(error=raised(ValueError("broken")))).splitlines()
    assert (first, rest[-1]) == ("00:00:00.000 info    job done", "ValueError: broken")


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.ConsoleFormatter()])
def test_a_line_within_a_call_has_its_request_id(formatter):
    def within_a_call() -> str:
        call.begin("abc-123")
        return formatter.format(record())

    assert "abc-123" in copy_context().run(within_a_call)
