"""`python -m services.store`, as an operator sees it."""

import asyncio
import json

import plyvel
import pytest

from services.common.clients.store import StoreClient
from services.common.errors import DataLossError, UnavailableError
from services.store.catalog import Catalog
from tests.certificates import Authority
from tests.stores import indexed, process, scenes, video
from tools.stack import Service, StackError, free_addresses


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


async def test_a_database_of_which_nothing_can_be_read_is_told_in_one_line(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video(), scenes(2)))
    for table in tmp_path.glob("*.ldb"):
        table.write_bytes(b"nonsense")
    await assert_start_fails(tmp_path, "the database is damaged; put back a backup")


async def test_a_damaged_store_is_served_but_for_writes(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(2)))
        catalog.put(indexed(video("b"), scenes(2)))
    with plyvel.DB(str(tmp_path)) as database:
        database.put(b"scene/b", b"nonsense")
    store = process(tmp_path)
    await store.start()
    await store.ready()
    async with StoreClient(store.address) as client:
        assert [stored.video_id for stored in (await client.videos()).items] == ["a"]
        assert "the scenes of video 'b' cannot be read" in (await client.stats()).read_only_reason
        for call in (client.scenes("b"), client.delete_video("a"), client.put_video(video("c"), scenes(1))):
            with pytest.raises(DataLossError, match=r"the scenes of video 'b' cannot be read"):
                await call
        with pytest.raises(DataLossError, match="videosearch store repair"):
            [piece async for piece in client.backup()]
    await store.stop()


async def test_its_log_is_json_whoever_knocks(tmp_path):
    identity, lines = Authority(tmp_path / "tls").issue("store"), []
    environment = {
        "VIDEOSEARCH_STORE_LISTEN": (address := free_addresses()["store"]),
        "VIDEOSEARCH_STORE_DATA_FOLDER": str(tmp_path / "store"),
        "VIDEOSEARCH_TLS_CERTIFICATE_FILE": str(identity.certificate),
        "VIDEOSEARCH_TLS_KEY_FILE": str(identity.key),
        "VIDEOSEARCH_LOG_FORMAT": "json",
    }
    serving = asyncio.Event()

    def tell(name, line):
        lines.append(line)
        if '"serving"' in line:
            serving.set()

    store = Service("store", address, environment, tell)
    await store.start()
    try:
        await asyncio.wait_for(serving.wait(), 30)
        async with StoreClient(address) as stranger:
            with pytest.raises(UnavailableError, match="TLS"):
                await stranger.stats()
    finally:
        await store.stop()
    assert all(json.loads(line) for line in lines)
