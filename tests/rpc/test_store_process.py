"""`python -m services.store`, as an operator sees it."""

import pytest

from services.common.clients.store import StoreClient
from services.store.catalog import Catalog
from tests.stores import indexed, process, scenes, video
from tools.stack import StackError


async def assert_start_fails(folder, complaint):
    store = process(folder)
    await store.start()
    with pytest.raises(StackError, match=rf"exit status 1: .*cannot start: data folder {folder}: {complaint}[^|]*$"):
        await store.ready()


async def test_it_serves_what_its_folder_holds_and_stops_when_told(tmp_path):
    with Catalog(tmp_path / "new" / "store") as catalog:
        catalog.put(indexed(video(), scenes(2)))
    store = process(tmp_path / "new" / "store")
    await store.start()
    await store.ready()
    async with StoreClient(store.address) as client:
        assert (await client.stats()).scene_count == 2
    await store.stop()
    assert store.process.returncode == 0


async def test_a_folder_in_use_is_told_in_one_line(tmp_path):
    with Catalog(tmp_path):
        await assert_start_fails(tmp_path, "another process has it open")


async def test_a_damaged_database_is_told_in_one_line(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video(), scenes(2)))
    (log,) = tmp_path.glob("*.log")
    log.write_bytes(log.read_bytes().replace(b"model-a", b"model-b"))
    await assert_start_fails(tmp_path, "the database is damaged; put back a copy")
