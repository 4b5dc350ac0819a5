"""The command line, run in a thread beside the services that a test has on its event loop."""

import asyncio
import json
from contextvars import copy_context
from typing import Any

from typer.testing import CliRunner, Result

from cli.__main__ import app
from cli.output import span
from services.common.media import Segment
from tests.stores import SECOND


def invoke(*args: str) -> Result:
    """Run a command as a process of its own would: the call that it begins ends with it."""
    return copy_context().run(CliRunner().invoke, app, list(args))


async def run(*args: str) -> Result:
    """Run a command in a thread, beside the services."""
    return await asyncio.to_thread(invoke, *args)


def rows(result: Result) -> list[list[str]]:
    """The words of each line of a table, without the rule below its head."""
    lines = [line.split() for line in result.stdout.splitlines()]
    return [words for words in lines if words and words[0].isascii()]


def seconds(start: int, end: int) -> str:
    """A span as the tables have it."""
    return span(Segment(start * SECOND, end * SECOND))


async def data(*args: str) -> Any:
    """The JSON that a command prints."""
    result = await run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
