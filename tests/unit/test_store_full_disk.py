"""A store on a small disk of its own, in memory, that fills up."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

ON_A_SMALL_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
"""A mount that only the process sees, as any user may make where the kernel allows it."""

FILLED = """
import errno
import sys
from pathlib import Path

from services.common.errors import DataLossError, StartupError
from services.store import maintenance
from services.store.catalog import Catalog
from tests.pictures import DIMENSION, picture
from tests.stores import indexed, scenes, video

folder, ballast = Path(sys.argv[1]) / "store", Path(sys.argv[1]) / "ballast"


def fill():
    try:
        with ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC


def put(catalog, name, count):
    catalog.put(indexed(video(name), scenes(count, dimension=DIMENSION)))


def refused(change):
    try:
        change()
    except DataLossError as error:
        return str(error)
    raise AssertionError("it was not refused")


with Catalog(folder) as catalog:
    put(catalog, "a", 50)
    for turn in range(5):
        before = picture(catalog)
        fill()
        print(refused(lambda: put(catalog, "large", 3000)))
        print(refused(lambda: put(catalog, "large", 3000)))
        assert picture(catalog) == before
        ballast.unlink()
        put(catalog, f"v{turn}", 50)
        catalog.delete("v0")
        put(catalog, "v0", 3000)
    before = picture(catalog)
    fill()
try:
    with Catalog(folder):
        raise AssertionError("it started on a full disk")
except StartupError as error:
    print(error)
ballast.unlink()
with Catalog(folder) as catalog:
    assert picture(catalog) == before
assert not maintenance.verify(folder).findings
"""

CROWDED = (
    FILLED.partition("with Catalog")[0]
    + """
from tests.stores import image, with_images

with Catalog(folder) as catalog:
    images = [image(number, 40_000) for number in range(3)]
    catalog.put(indexed(video("large"), with_images(scenes(800, dimension=DIMENSION), images)))
    fill()
    refused(lambda: put(catalog, "small", 1))
    with ballast.open("ab") as file:
        file.truncate(file.tell() - (80 << 20))
    print(refused(lambda: put(catalog, "small", 1)))
    assert len(catalog.scenes("large", 0, 1000)[0]) == 800
    ballast.unlink()
    catalog.delete("large")
    put(catalog, "small", 1)
"""
)


def on_a_small_disk(script, folder, size_mb):
    mounted = f"mount -t tmpfs -o size={size_mb}m none {folder}"
    if subprocess.run([*ON_A_SMALL_DISK, mounted], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no user mount a disk of memory")
    command = f'{mounted} && exec "$0" -c "$1" {folder}'
    run = subprocess.run(
        [*ON_A_SMALL_DISK, command, sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_what_the_log_holds_is_read_until_there_is_room_to_open_it_anew(tmp_path):
    (refusal,) = on_a_small_disk(CROWDED, tmp_path, 300)
    assert "the store's disk is full (80 MiB free): free some space and try again; it needs 15" in refusal


def test_a_full_disk_is_told_nothing_is_lost_and_the_store_goes_on_when_there_is_room(tmp_path):
    first, second, *_, start = on_a_small_disk(FILLED, tmp_path, 160)
    assert "'large' was not stored: the database cannot be written; see to its disk's space" in first
    assert "the store's disk is full (0 MiB free): free some space and try again" in second
    assert "its disk is full; free some space" in start
