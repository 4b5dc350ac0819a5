"""A move to another model, through kills of the store at random moments.

The environment may set CRASH_KILLS to ask for more of them, and CRASH_SEED to repeat a run.
"""

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import plyvel
import pytest

from services.common import vectors
from services.common.clients.store import StoreClient
from services.common.errors import UnavailableError
from services.common.ranking import SceneRanking
from tests.indexers import ColorEmbedder, embedder_serving
from tests.reembedding import fill, grays, grays_of_images, pictured
from tests.stores import MODEL, process, query_of, scenes, video
from tools.stack import Service

KILLS = int(os.environ.get("CRASH_KILLS", "8"))
SEED = int(os.environ.get("CRASH_SEED", random.randrange(10**9)))
NAMES = [f"v{n:02}" for n in range(30)]
SCENES = 20
QUERY = vectors.normalize(np.random.default_rng(0).standard_normal(8))
ALL = SceneRanking(top_k=1000)


async def start(store: Service) -> None:
    await store.start()
    await store.ready()


def scenes_of(name: str, model: int):
    """As a model of that number sees them."""
    return scenes(SCENES, dimension=8, seed=1000 * model + NAMES.index(name))


async def keep(client: StoreClient, model: int) -> None:
    """Keep the embeddings of the model that are missing."""
    for stored in (await client.missing_embeddings(f"model-{model}", 1000)).items:
        matrices = [np.stack([sample.vector for sample in one.samples]) for one in scenes_of(stored.video_id, model)]
        await client.put_embeddings(stored, f"model-{model}", matrices)


async def check(client: StoreClient, model: int) -> None:
    """All videos are searched by that model, and right."""
    hits = (await client.find_scenes(query_of(QUERY, f"model-{model}"), ALL)).hits
    found = {(hit.video_id, hit.ordinal): hit.score for hit in hits}
    expected = {
        (name, one.ordinal): max(float(sample.vector @ QUERY) for sample in one.samples)
        for name in NAMES
        for one in scenes_of(name, model)
    }
    assert found == pytest.approx(expected, abs=2e-3), f"model {model}; seed {SEED}"


@pytest.mark.timeout(120 + 10 * KILLS)
async def test_a_kill_leaves_the_store_with_one_model_or_the_other_and_all_of_it(tmp_path):
    chance, store, model = random.Random(SEED), process(tmp_path), 0
    await start(store)
    async with StoreClient(store.address) as client:
        for name in NAMES:
            await client.put_video(video(name, "model-0"), scenes_of(name, 0))
    for _ in range(KILLS):
        model = await model_after_a_kill(store, model, delay_s=chance.uniform(0.0, 0.4))
    async with StoreClient(store.address) as client:
        assert await moved(client, model + 1)
        await check(client, model + 1)
    await store.stop()
    await start(store)  # which removes what there was no time for
    await store.stop()
    assert len(generations_in(tmp_path)) == 1
    sys.stdout.write(f"{KILLS} kills, {model} of them after the model was changed; 0 embeddings lost\n")


async def model_after_a_kill(store: Service, model: int, delay_s: float) -> int:
    """Kill the store while it moves to the next model, and check all that it holds then."""
    async with StoreClient(store.address) as client:
        moving = asyncio.create_task(moved(client, model + 1))
        await asyncio.sleep(delay_s)  # the moment of death, not a wait for anything
        await store.kill()
        acknowledged = await moving
    await start(store)
    async with StoreClient(store.address) as client:
        now = int((await client.stats()).model.removeprefix("model-"))
        assert now in ((model + 1,) if acknowledged else (model, model + 1)), f"seed {SEED}"
        await check(client, now)
    return now


def generations_in(folder: Path) -> set[bytes]:
    with plyvel.DB(str(folder)) as database:
        return {key.split(b"/")[0] for key in database.iterator(prefix=b"embedding", include_value=False)}


async def moved(client: StoreClient, model: int) -> bool:
    """Whether the store has acknowledged that it has changed its model."""
    with suppress(UnavailableError):
        await keep(client, model)
        await client.switch_model(f"model-{model}")
        await asyncio.sleep(0.05)  # in which the old embeddings are being removed
        return True
    return False


async def test_reembed_goes_on_through_restarts_of_the_store(tmp_path):
    embedder, store, names = ColorEmbedder(), process(tmp_path), [f"v{n}" for n in range(12)]
    await start(store)
    async with embedder_serving(embedder) as address:
        async with StoreClient(store.address) as client:
            await fill(client, names)
        embedder.pause_at = 5 * 12
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "store", "reembed", "--embedder", address),
            env={**os.environ, "VIDEOSEARCH_STORE_ADDRESS": store.address},
        )
        await embedder.paused.wait()
        await store.kill()
        embedder.pause_at = -1
        embedder.going.set()
        await start(store)
        assert await command.wait() == 0
        async with StoreClient(store.address) as client:
            assert (await client.stats()).model != MODEL
            for seed, name in enumerate(names):
                expected = await grays_of_images(address, pictured(4, seed))
                assert await grays(client, name) == pytest.approx(expected, abs=1e-3)
    await store.stop()
