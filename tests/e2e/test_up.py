"""`make up`, as a process: what it prints, and that nothing is left of it however it ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tools.stack import Service, StackError, free_addresses

SERVICES = ("embedder", "store", "indexer", "search")


@dataclass
class Up:
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    services: dict[str, psutil.Process] = field(default_factory=dict)

    async def until(self, start: str) -> None:
        """Read on until a line begins so; all services have been started then."""
        assert self.process.stdout
        while not self.lines or not self.lines[-1].startswith(start):
            line = await self.process.stdout.readline()
            assert line, self.lines
            self.lines.append(line.decode().rstrip())
        children = psutil.Process(self.process.pid).children()
        self.services = {child.cmdline()[-1].removeprefix("services."): child for child in children}

    async def ended(self) -> int:
        """The exit status, when the last line has been read and nothing is left."""
        rest, _ = await self.process.communicate()
        self.lines.extend(rest.decode().splitlines())
        assert not any(service.is_running() for service in self.services.values())
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def up(folder: Path, **listen: str) -> AsyncIterator[Up]:
    """`make up` in a folder, at free ports where no others are named."""
    addresses = free_addresses() | listen
    settings = {f"VIDEOSEARCH_{name.upper()}_LISTEN": address for name, address in addresses.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.up"),
        cwd=folder,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def test_it_runs_until_it_is_told_to_stop_and_labels_what_the_services_say(tmp_path: Path) -> None:
    async with up(tmp_path) as running:
        await running.until("ready: ")
        assert set(running.services) == set(SERVICES)
        running.process.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
    labels = {line.split()[0] for line in running.lines if not line.startswith("ready: ")}
    assert labels == set(SERVICES)
    assert (tmp_path / "data" / "store").is_dir()


async def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    async with up(tmp_path) as starting:
        await starting.until("store ")
        starting.process.send_signal(signal.SIGINT)
        assert await starting.ended() == 0
    assert not any("Traceback" in line or line.startswith("ready: ") for line in starting.lines)


async def test_one_service_that_dies_stops_all_and_is_named(tmp_path: Path) -> None:
    async with up(tmp_path) as running:
        await running.until("ready: ")
        running.services["store"].kill()
        assert await running.ended() == 1
    assert running.lines[-1].startswith("stopped all services: store stopped with exit status -9: ")


async def test_one_service_that_cannot_start_stops_all_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store").touch()
    async with up(tmp_path) as starting:
        await starting.until("store ")
        assert await starting.ended() == 1
    assert starting.lines[-1].startswith("stopped all services: store stopped with exit status 1: ")
    assert "is it a folder that the service may write?" in starting.lines[-1]


async def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with up(tmp_path, store=address) as starting:
            assert await starting.ended() == 1
    assert starting.lines == [f"stopped all services: store cannot listen on {address}: Address already in use"]


async def test_a_very_long_line_of_a_service_is_read_whole() -> None:
    address, lines = free_addresses()["store"], list[str]()
    folder = "/" + 100_000 * "x"
    environment = {"VIDEOSEARCH_STORE_LISTEN": address, "VIDEOSEARCH_STORE_DATA_FOLDER": folder}
    store = Service("store", address, environment, log=lambda name, line: lines.append(line))
    await store.start()
    with pytest.raises(StackError, match="File name too long"):
        await store.ready()
    assert any(folder in line for line in lines)
