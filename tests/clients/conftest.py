"""Four services as processes, for clients that we did not write."""

import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.common.clients.store import StoreClient
from tools.samples import FOLDER, sample_videos
from tools.stack import Stack

SETTINGS = {
    "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(FOLDER),
    "VIDEOSEARCH_EMBEDDER_BACK_END": "torch",  # the quickest to start
    "VIDEOSEARCH_EMBEDDER_PRECISION": "float32",
    "VIDEOSEARCH_EMBEDDER_DEVICE": "cpu",
    "VIDEOSEARCH_EMBEDDER_MAX_BATCH": "4",
}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    sample_videos()
    async with Stack(tmp_path_factory.mktemp("system"), log=_show, settings=SETTINGS) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(stack: Stack) -> Stack:
    """The services; nothing is indexed when a module begins."""
    async with StoreClient(stack.addresses["store"]) as store:
        for video in (await store.videos()).items:
            await store.delete_video(video.video_id)
    return stack


def _show(name: str, line: str) -> None:
    """Print what a service says, to be seen where a test fails."""
    sys.stdout.write(f"{name:<8} {line}\n")
