"""The whole system: four processes on loopback, the bundled model, real videos."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tools.samples import sample_videos
from tools.stack import Stack


@pytest.fixture(scope="session")
def samples() -> dict[str, Path]:
    """The sample videos by file name."""
    return {path.name: path for path in sample_videos()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory, samples: dict[str, Path]) -> AsyncIterator[Stack]:
    """All four services."""
    folder = tmp_path_factory.mktemp("system")
    roots = f"{folder}:{samples['bikes.mp4'].parent}"
    settings = {"VIDEOSEARCH_INDEXER_VIDEO_ROOTS": roots, "VIDEOSEARCH_INDEXER_PATIENCE_S": "60"}
    async with Stack(folder, log=_show, settings=settings) as stack:
        yield stack


def _show(name: str, line: str) -> None:
    """Print what a service says, to be seen where a test fails."""
    sys.stdout.write(f"{name:<8} {line}\n")
