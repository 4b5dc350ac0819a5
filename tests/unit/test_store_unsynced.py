"""What a machine that loses its power leaves: of the newest change, any part of what was not yet synced."""

import random
import shutil

import pytest

from services.store.catalog import Catalog
from tests.pictures import DIMENSION, picture
from tests.stores import indexed, scenes, video

CHANGES = {
    "a first put": lambda catalog: catalog.put(indexed(video("new"), scenes(40, dimension=DIMENSION, seed=5))),
    "a replacement": lambda catalog: catalog.put(indexed(video("a"), scenes(90, dimension=DIMENSION, seed=6))),
    "an update": lambda catalog: catalog.update("b", {"title": "new"}),
    "a deletion": lambda catalog: catalog.delete("c"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_acknowledged_is_there_and_the_newest_change_is_whole_or_absent(tmp_path, change):
    with Catalog(tmp_path / "live") as catalog:
        for seed, name in enumerate("abc"):
            catalog.put(indexed(video(name), scenes(3, dimension=DIMENSION, seed=seed)))
        shutil.copytree(tmp_path / "live", tmp_path / "acknowledged")
        before = picture(catalog)
        change(catalog)
        after = picture(catalog)
        (log,) = (tmp_path / "live").glob("*.log")
        written = log.read_bytes()
    synced = (tmp_path / "acknowledged" / log.name).stat().st_size
    for cut in cuts(synced, len(written)):
        folder = tmp_path / "crashed"
        shutil.copytree(tmp_path / "acknowledged", folder)
        (folder / log.name).write_bytes(written[:cut])
        with Catalog(folder) as catalog:
            assert catalog.stats().read_only_reason == ""
            assert picture(catalog) == (after if cut == len(written) else before), cut
        shutil.rmtree(folder)


def cuts(synced, size):
    """Around the ends of the records and blocks, and anywhere."""
    near = {at + n for at in (synced, 32 << 10, 64 << 10, size) for n in (-8, -7, -6, -1, 0, 1, 6, 7, 8)}
    anywhere = {random.Random(size).randrange(synced, size) for _ in range(5)}
    return sorted(at for at in near | anywhere if synced <= at <= size)
