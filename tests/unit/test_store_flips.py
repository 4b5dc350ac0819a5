"""Single bits of a store's files, flipped at random.

The environment may set FLIPS to ask for more of them, and FLIPS_SEED to repeat a run.
"""

import os
import random
import shutil
import sys
from collections import Counter
from itertools import islice

import pytest

from services.common.errors import DataLossError, StartupError
from services.store import files, maintenance
from services.store.catalog import Catalog
from tests.pictures import DIMENSION, database_files, flip, picture
from tests.stores import indexed, scenes, video

FLIPS = int(os.environ.get("FLIPS", "30"))
SEED = int(os.environ.get("FLIPS_SEED", random.randrange(10**9)))


def a_put(catalog, video_id, count, seed):
    catalog.put(indexed(video(video_id, metadata={"fill": 300 * "x"}), scenes(count, dimension=DIMENSION, seed=seed)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder as a crash leaves it, with tables and a log, and all that was ever said of each video."""
    folder, pictures = tmp_path_factory.mktemp("store"), []
    with Catalog(folder / "live") as catalog:
        for seed, video_id in enumerate("abcdefgh"):
            a_put(catalog, video_id, 5 + seed, seed)
        pictures.append(picture(catalog))
    with Catalog(folder / "live") as catalog:
        changes = [
            lambda: a_put(catalog, "a", 5, 20),
            lambda: a_put(catalog, "b", 4, 21),
            lambda: catalog.delete("c"),
            lambda: a_put(catalog, "i", 30, 22),
            lambda: catalog.update("d", {"title": "new"}),
        ]
        for change in changes:
            change()
            pictures.append(picture(catalog))
        shutil.copytree(folder / "live", folder / "crashed")
    return folder / "crashed", pictures


def flips(folder):
    """Each file in its turn, whatever its size."""
    chance = random.Random(SEED)
    while True:
        for path in database_files(folder):
            yield path.name, chance.randrange(path.stat().st_size), chance.randrange(8)


@pytest.mark.timeout(60 + 2 * FLIPS)
def test_a_flipped_bit_is_never_a_wrong_answer_and_repair_keeps_the_rest(store, tmp_path, capsys):
    crashed, pictures = store
    outcomes = Counter()
    for name, at, bit in islice(flips(crashed), FLIPS):
        place = f"bit {bit} of byte {at} of {name}; seed {SEED}"
        folder = tmp_path / "flipped"
        shutil.copytree(crashed, folder)
        flip(folder / name, at, bit)
        outcomes[outcome(folder, pictures, place)] += 1
        shutil.rmtree(folder)
    with capsys.disabled():
        sys.stdout.write(f"\n{FLIPS} bits flipped: {dict(outcomes)}; wrong answers: 0\n")
    assert outcomes["read-only"]


def outcome(folder, pictures, place):
    try:
        with Catalog(folder) as catalog:
            reason, found = catalog.stats().read_only_reason, picture(catalog)
            if not reason:
                assert found == pictures[-1], place
                return "whole"
            for video_id, seen in found.items():
                assert seen in [past.get(video_id) for past in pictures], place
            with pytest.raises(DataLossError, match="repair"):
                a_put(catalog, "new", 1, 1)
    except StartupError:
        assert pictures, place
        return "refused"
    assert_repairable(folder, found, place)
    return "read-only"


def assert_repairable(folder, found, place):
    with Catalog(folder) as catalog:  # damage does not go away by itself
        assert catalog.stats().read_only_reason, place
        assert picture(catalog) == found, place
    before = {path.name: path.read_bytes() for path in files.of_database(folder)}
    assert maintenance.verify(folder).findings, place
    assert {path.name: path.read_bytes() for path in files.of_database(folder)} == before
    assert maintenance.repair(folder).kept_folder, place
    assert not maintenance.verify(folder).findings, place
    with Catalog(folder) as catalog:
        assert not catalog.stats().read_only_reason, place
        assert picture(catalog) == found, place
        a_put(catalog, "new", 1, 1)
