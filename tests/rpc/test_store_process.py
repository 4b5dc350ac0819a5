"""`python -m services.store`, as an operator sees it."""

import asyncio
import json
import os
import signal
import sys

from services.common.clients.store import StoreClient
from services.store.catalog import Catalog
from tests.stores import indexed, scenes, video


async def start(folder):
    settings = {
        "VIDEOSEARCH_STORE_LISTEN": "127.0.0.1:0",
        "VIDEOSEARCH_STORE_DATA_FOLDER": str(folder),
        "VIDEOSEARCH_LOG_FORMAT": "json",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.store", env=os.environ | settings, stderr=asyncio.subprocess.PIPE
    )


async def last_line_of_failed_start(folder):
    process = await start(folder)
    _, errors = await process.communicate()
    assert process.returncode == 1
    return errors.decode().splitlines()[-1]


async def test_it_serves_what_its_folder_holds_and_stops_when_told(tmp_path):
    with Catalog(tmp_path / "new" / "store") as catalog:
        catalog.put(indexed(video(), scenes(2)))
    process = await start(tmp_path / "new" / "store")
    async for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "serving":
            break
    async with StoreClient(f"127.0.0.1:{event['port']}") as client:
        assert await client.serving()
        assert (await client.stats()).scene_count == 2
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


async def test_a_folder_in_use_is_told_in_one_line(tmp_path):
    with Catalog(tmp_path):
        line = await last_line_of_failed_start(tmp_path)
    assert line.startswith(f"cannot start: data folder {tmp_path}: another process has it open")


async def test_a_damaged_database_is_told_in_one_line(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video(), scenes(2)))
    (log,) = tmp_path.glob("*.log")
    log.write_bytes(log.read_bytes().replace(b"model-a", b"model-b"))
    line = await last_line_of_failed_start(tmp_path)
    assert line.startswith(f"cannot start: data folder {tmp_path}: the database is damaged; put back a copy")
