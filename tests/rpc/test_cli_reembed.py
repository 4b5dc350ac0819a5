"""`videosearch store reembed`, between a real store and an embedder that knows colors."""

import asyncio
import signal
import sys

import numpy as np
import pytest

from cli import reembed
from services.common.errors import PreconditionError
from services.common.ranking import SceneRanking
from tests.commands import run
from tests.indexers import MODEL as COLORS
from tests.indexers import ColorEmbedder, embedder_serving
from tests.reembedding import fill, grays, grays_of_images, pictured
from tests.stores import MODEL, query_of, scenes, store, video

OLD_QUERY = query_of(scenes(1)[0].samples[0].vector)
NAMES = [f"v{n}" for n in range(6)]
FRAMES = 12
"""Sampled in each of them."""


@pytest.fixture
async def videos(tmp_path, monkeypatch):
    async with store(tmp_path / "store") as videos:
        monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", videos.address)
        yield videos


@pytest.fixture
async def address(embedder):
    async with embedder_serving(embedder) as address:
        yield address


async def reembedding(address: str) -> asyncio.subprocess.Process:
    """The command, as a process of its own."""
    command = (sys.executable, "-m", "cli", "store", "reembed", "--embedder", address)
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)


async def test_a_store_is_moved_to_another_model_and_told_what_to_do_next(videos, address):
    await fill(videos, NAMES)
    result = await run("store", "reembed", "--embedder", address)
    assert result.exit_code == 0, result.output
    assert f"VIDEOSEARCH_EMBEDDER_ADDRESS={address}" in result.stderr
    assert "6 videos" in result.stderr
    for seed, name in enumerate(NAMES):
        expected = await grays_of_images(address, pictured(4, seed))
        assert await grays(videos, name) == pytest.approx(expected, abs=1e-3)
    with pytest.raises(PreconditionError, match=f"{COLORS.fingerprint}.*{MODEL}"):
        await videos.find_scenes(OLD_QUERY, SceneRanking())
    again = await run("store", "reembed", "--embedder", address)
    assert "already" in again.stderr


async def test_a_video_without_all_images_is_named_before_anything_is_embedded(videos, address, embedder):
    await fill(videos, NAMES)
    await videos.put_video(video("bare"), scenes(2))
    await videos.put_video(video("partly"), [*pictured(2), scenes(3)[2]])
    result = await run("store", "reembed", "--embedder", address)
    assert result.exit_code == 4
    assert "2 of the 8 videos" in result.stderr
    assert "bare, partly" in result.stderr
    assert "VIDEOSEARCH_INDEXER_IMAGES=samples" in result.stderr
    assert embedder.image_count == 0


async def test_an_embedder_or_a_store_that_is_away_ends_the_command(videos, monkeypatch, address):
    assert (await run("store", "reembed", "--embedder", "127.0.0.1:1")).exit_code == 5
    monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", "127.0.0.1:1")
    assert (await run("store", "reembed", "--embedder", address)).exit_code == 5


async def test_what_was_made_for_a_third_model_is_given_up_only_if_said_so(videos, address):
    await fill(videos, NAMES)
    third = [np.stack([sample.vector for sample in one.samples]) for one in scenes(4, dimension=5)]
    await videos.put_embeddings(await videos.video("v1"), "third", third)
    refused = await run("store", "reembed", "--embedder", address)
    assert refused.exit_code == 4
    assert "--discard" in refused.stderr
    assert (await run("store", "reembed", "--embedder", address, "--discard")).exit_code == 0
    assert (await videos.stats()).model == COLORS.fingerprint


async def test_meanwhile_the_old_model_is_searched_and_what_changes_is_embedded_as_it_is_then(
    videos, address, embedder: ColorEmbedder
):
    await fill(videos, NAMES)
    embedder.pause_at = 2 * FRAMES
    command = asyncio.create_task(run("store", "reembed", "--embedder", address))
    await embedder.paused.wait()
    assert (await videos.find_scenes(OLD_QUERY, SceneRanking())).hits[0].score == pytest.approx(1, abs=1e-3)
    await videos.put_video(video("new"), pictured(3, seed=77))
    for name in NAMES[:5]:  # kept already, being embedded and still to come
        await videos.put_video(video(name), pictured(2, seed=88))
    await videos.delete_video("v5")
    embedder.pause_at = -1
    embedder.going.set()
    result = await command
    assert result.exit_code == 0, result.output
    assert await grays(videos, "new") == pytest.approx(await grays_of_images(address, pictured(3, 77)), abs=1e-3)
    for name in NAMES[:5]:
        assert await grays(videos, name) == pytest.approx(await grays_of_images(address, pictured(2, 88)), abs=1e-3)
    assert (await videos.stats()).video_count == 6


async def test_a_video_that_becomes_shorter_while_its_pages_are_read_is_embedded_as_it_is_then(
    videos, address, embedder: ColorEmbedder, monkeypatch
):
    monkeypatch.setattr(reembed, "PAGE_SIZE", 2)
    await fill(videos, ["v"])
    embedder.going.clear()
    command = asyncio.create_task(run("store", "reembed", "--embedder", address))
    await embedder.asked.wait()
    await videos.put_video(video("v"), pictured(1, seed=88))
    embedder.going.set()
    result = await command
    assert result.exit_code == 0, result.output
    assert await grays(videos, "v") == pytest.approx(await grays_of_images(address, pictured(1, 88)), abs=1e-3)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
async def test_interrupted_it_goes_on_where_it_was(videos, address, embedder: ColorEmbedder, end):
    await fill(videos, [f"v{n:02}" for n in range(20)])
    embedder.pause_at = 12 * FRAMES
    first = await reembedding(address)
    await embedder.paused.wait()
    first.send_signal(end)
    _, words = await first.communicate()
    assert b"Traceback" not in words
    assert (b"goes on" in words) == (end is signal.SIGINT)
    left = len((await videos.missing_embeddings(COLORS.fingerprint)).items)
    assert 0 < left < 20
    embedder.pause_at, embedder.image_count = -1, 0
    embedder.going.set()
    second = await reembedding(address)
    assert await second.wait() == 0
    assert embedder.image_count <= (left + 4) * FRAMES  # what was on its way when it was interrupted may come once more
    assert await grays(videos, "v07") == pytest.approx(await grays_of_images(address, pictured(4, 7)), abs=1e-3)


async def test_an_embedder_that_changes_its_model_is_not_believed(videos, address, embedder: ColorEmbedder):
    await fill(videos, NAMES)
    embedder.pause_at = FRAMES
    command = asyncio.create_task(run("store", "reembed", "--embedder", address))
    await embedder.paused.wait()
    embedder.fingerprint = "colors-2"
    embedder.going.set()
    result = await command
    assert result.exit_code == 4
    assert "changed its model" in result.stderr
    assert (await videos.stats()).model == MODEL
