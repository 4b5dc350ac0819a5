"""The store, killed at random moments while it is written to.

The environment may set CRASH_KILLS to ask for more of them, and CRASH_SEED to repeat a run.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from services.common import vectors
from services.common.clients.store import StoreClient
from services.common.errors import NotFoundError, UnavailableError
from services.common.media import Scene, VideoFilter
from services.common.ranking import SceneRanking
from tests.stores import process, query_of, scenes, video
from tools.stack import Service

KILLS = int(os.environ.get("CRASH_KILLS", "8"))
SEED = int(os.environ.get("CRASH_SEED", random.randrange(10**9)))
DIMENSION = 64
QUERY = vectors.normalize(np.random.default_rng(0).standard_normal(DIMENSION))
ABSENT = 0
"""Versions count from 1."""


@dataclass
class Known:
    """What the writers know of each video: the versions that it may have; only one unless a change was interrupted."""

    versions: dict[str, set[int]] = field(default_factory=dict)
    newest: int = 0
    acknowledged: int = 0
    interrupted: int = 0


@pytest.mark.timeout(60 + 10 * KILLS)
async def test_what_was_acknowledged_survives_a_kill_and_every_video_is_whole_or_absent(tmp_path, capsys):
    chance, known = random.Random(SEED), Known()
    for _ in range(KILLS):
        async with running(tmp_path) as (store, client):
            await check(client, known)
            async with asyncio.TaskGroup() as writers:
                for writer in range(3):
                    writers.create_task(write(client, f"writer-{writer}", known, random.Random(chance.random())))
                await asyncio.sleep(chance.uniform(0.05, 0.5))  # the moment of death, not a wait for anything
                await store.kill()
    async with running(tmp_path) as (_, client):
        await check(client, known)
    with capsys.disabled():
        counts = f"{known.acknowledged} acknowledged changes, {known.interrupted} interrupted"
        sys.stdout.write(f"\nkilled at {KILLS} moments: {counts}, 0 lost\n")
    assert known.acknowledged > KILLS
    assert known.interrupted


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Service, StoreClient]]:
    store = process(folder)
    await store.start()
    await store.ready()
    async with StoreClient(store.address) as client:
        yield store, client
    await store.stop()


async def write(client: StoreClient, writer: str, known: Known, chance: random.Random) -> None:
    """Put, replace and delete videos of its own until the store is gone."""
    with suppress(UnavailableError):
        while True:
            video_id = f"{writer}.{chance.randrange(3)}"
            (before,) = versions = known.versions.setdefault(video_id, {ABSENT})
            if before != ABSENT and chance.random() < 0.3:
                after, change = ABSENT, client.delete_video(video_id)
            else:
                known.newest += 1
                after = known.newest
                change = client.put_video(video(video_id, title=str(after)), scenes_of(after))
            versions.add(after)
            await change
            known.versions[video_id] = {after}
            known.acknowledged += 1


async def check(client: StoreClient, known: Known) -> None:
    """Each video is a version that it may be, whole; what was interrupted is now decided."""
    for video_id, versions in known.versions.items():
        found = await version_of(client, video_id)
        assert found in versions, f"{video_id} is of version {found}, not one of {versions}; seed {SEED}"
        known.interrupted += len(versions) > 1
        known.versions[video_id] = {found}
    present = [version for (version,) in known.versions.values() if version != ABSENT]
    scene_count = sum(len(scenes_of(version)) for version in present)
    stats = await client.stats()
    assert stats.read_only_reason == ""
    assert (stats.video_count, stats.scene_count, stats.sample_count) == (len(present), scene_count, 3 * scene_count)


async def version_of(client: StoreClient, video_id: str) -> int:
    try:
        stored = await client.video(video_id)
    except NotFoundError:
        return ABSENT
    version = int(stored.title)
    wanted = scenes_of(version)
    listed = (await client.scenes(video_id, 1000)).items
    assert [(one.ordinal, one.segment) for one in listed] == [(one.ordinal, one.segment) for one in wanted]
    ranking = SceneRanking(top_k=1000, video_filter=VideoFilter(frozenset({video_id})))
    hits = (await client.find_scenes(query_of(QUERY), ranking)).hits
    scores = {hit.ordinal: hit.score for hit in hits}
    exact = {one.ordinal: max(float(sample.vector @ QUERY) for sample in one.samples) for one in wanted}
    assert scores == pytest.approx(exact, abs=1e-3), f"{video_id} is not whole; seed {SEED}"
    return version


def scenes_of(version: int) -> list[Scene]:
    return scenes(1 + version * 37 % 150, dimension=DIMENSION, seed=version)
