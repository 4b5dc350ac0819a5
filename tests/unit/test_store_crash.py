"""A process that changes a store, killed at random moments; beside the services' own test, without what slows it down.

The environment may set CRASH_KILLS to ask for more of them, and CRASH_SEED to repeat a run.
"""

import os
import random
import signal
import sys
import time

import numpy as np
import pytest

from services.store import maintenance
from services.store.catalog import Catalog
from tests.pictures import DIMENSION, VECTOR, picture
from tests.stores import image, indexed, scenes, video, with_images

KILLS = int(os.environ.get("CRASH_KILLS", "40"))
SEED = int(os.environ.get("CRASH_SEED", random.randrange(10**9)))
ABSENT, NAMES = 0, "abcde"
"""Versions count from 1."""


@pytest.mark.timeout(60 + 2 * KILLS)
def test_what_was_acknowledged_survives_a_kill_and_memory_and_disk_agree(tmp_path, capsys):
    chance, acknowledged, interrupted = random.Random(SEED), 0, 0
    folder, known, version = tmp_path / "store", dict.fromkeys(NAMES, ABSENT), 0
    for _ in range(KILLS):
        said = killed_after(chance.uniform(0, 0.15), folder, version, chance.randrange(10**9))
        doing = None
        for word in said:
            if word == "done":
                known[doing[0]], doing = doing[1], None
                acknowledged += 1
            else:
                name, _, number = word.partition("=")
                doing = name, int(number)
                version = max(version, int(number))
        found = versions_in(folder)
        if doing and found[doing[0]] == doing[1]:
            known[doing[0]] = doing[1]
        interrupted += doing is not None
        assert found == known, f"seed {SEED}"
    assert maintenance.verify(folder).findings == []
    with capsys.disabled():
        sys.stdout.write(f"\nkilled at {KILLS} moments: {acknowledged} acknowledged changes, ")
        sys.stdout.write(f"{interrupted} interrupted, 0 lost\n")
    assert acknowledged
    assert interrupted


def killed_after(seconds, folder, version, seed):
    """What a process said before it was killed: `name=version` before each change, `done` after it."""
    listening, speaking = os.pipe()
    process = os.fork()
    if not process:
        try:
            change_until_killed(folder, version, random.Random(seed), speaking)
        finally:
            os._exit(1)
    os.close(speaking)
    with os.fdopen(listening) as told:
        first = told.readline()  # it has opened the store
        time.sleep(seconds)  # until the moment of death, not a wait for anything
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        assert first == "open\n"
        assert os.WTERMSIG(status) == signal.SIGKILL
        return told.read().split()


def change_until_killed(folder, version, chance, speaking):
    with Catalog(folder) as catalog:
        present = {stored.video_id for stored in catalog.videos("", 100)[0]}
        os.write(speaking, b"open\n")
        while True:
            name = chance.choice(NAMES)
            if name in present and chance.random() < 0.3:
                os.write(speaking, b"%s=%d\n" % (name.encode(), ABSENT))
                catalog.delete(name)
                present.remove(name)
            else:
                version += 1
                os.write(speaking, b"%s=%d\n" % (name.encode(), version))
                catalog.put(made(name, version))
                present.add(name)
            os.write(speaking, b"done\n")


def made(name, version):
    """A version of a video: larger ones fill LevelDB's log sooner than it is moved to a table."""
    count = 600 if version % 7 == 0 else 1 + version * 37 % 60
    pictured = with_images(scenes(count, dimension=DIMENSION, seed=version), [image(version, 400), b"", b""])
    return indexed(video(name, title=str(version)), pictured)


def versions_in(folder):
    """Of each video, after it has turned out to be whole."""
    found = dict.fromkeys(NAMES, ABSENT)
    with Catalog(folder) as catalog:
        assert catalog.stats().read_only_reason == "", f"seed {SEED}"
        for name, (stored, its_scenes, scores) in picture(catalog).items():
            found[name] = int(stored.title)
            wanted = made(name, found[name])
            assert its_scenes == wanted.scenes.part(0, len(wanted.scenes)), f"seed {SEED}"
            firsts = np.cumsum(wanted.scenes.sample_counts) - wanted.scenes.sample_counts  # (S,)
            exact = np.maximum.reduceat(wanted.embeddings.astype(np.float32) @ VECTOR, firsts)  # (N, D) @ (D,) -> (S,)
            assert [scores[ordinal] for ordinal in range(len(exact))] == pytest.approx(exact, abs=2e-3), f"seed {SEED}"
            assert catalog.thumbnail(name, 0, None).image == image(found[name], 400)
    return found
