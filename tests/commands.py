"""The command line, run in a thread beside the services that a test has on its event loop."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.__main__ import app
from cli.output import span
from services.common.clients.store import StoreClient
from services.common.media import Segment
from tests.standins import WordEmbedder, embedder_at, search_at
from tests.stores import SECOND, store


@asynccontextmanager
async def services(embedder: WordEmbedder, folder: Path, environment: pytest.MonkeyPatch) -> AsyncIterator[StoreClient]:
    """An embedder, a store and the search between them, where the command line looks for them."""
    async with (
        embedder_at(embedder) as embedder_address,
        store(folder) as videos,
        search_at(embedder_address, videos.address) as search_address,
    ):
        environment.setenv("VIDEOSEARCH_EMBEDDER_ADDRESS", embedder_address)
        environment.setenv("VIDEOSEARCH_STORE_ADDRESS", videos.address)
        environment.setenv("VIDEOSEARCH_SEARCH_ADDRESS", search_address)
        yield videos


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


async def found_videos(*arguments: str) -> list[str]:
    """The ids of what a search finds, in order."""
    found = await data("search", *arguments)
    return [hit["video"]["video_id"] for hit in found["hits"]]


async def found_scenes(*arguments: str) -> list[tuple[str, int]]:
    """The videos and ordinals of what a search for scenes finds, in order."""
    found = await data("search", "--scenes", *arguments)
    return [(hit["video_id"], hit["ordinal"]) for hit in found["hits"]]
