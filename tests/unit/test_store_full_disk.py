"""A store on a disk of its own, of 160 MiB in memory, that fills up."""

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


def test_a_full_disk_is_told_nothing_is_lost_and_the_store_goes_on_when_there_is_room(tmp_path):
    mounted = f"mount -t tmpfs -o size=160m none {tmp_path}"
    if subprocess.run([*ON_A_SMALL_DISK, mounted], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no user mount a disk of memory")
    command = f'{mounted} && exec "$0" -c "$1" {tmp_path}'
    run = subprocess.run(
        [*ON_A_SMALL_DISK, command, sys.executable, FILLED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    first, second, *_, start = run.stdout.splitlines()
    assert "'large' was not stored: the database cannot be written; see to its disk's space" in first
    assert "the store's disk is full (0 MiB free): free some space and try again" in second
    assert "its disk is full; free some space" in start
