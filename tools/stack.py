"""The four services as processes on loopback: for the demo, `make up`, benchmarks and end-to-end tests."""

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.common.clients.channel import ANONYMOUS, Client
from services.common.clients.credentials import Credentials
from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import DeadlineError, UnavailableError

CLIENTS: dict[str, type[Client[Any]]] = {
    "embedder": EmbedderClient,
    "store": StoreClient,
    "indexer": IndexerClient,
    "search": SearchClient,
}

Log = Callable[[str, str], None]
"""Takes a service's name and one line that it has printed."""


LONGEST_LINE_BYTES = 1 << 20
"""Of what a service prints."""


class StackError(Exception):
    """A service cannot listen, has stopped or is not ready in time; the text says which and why."""


class Service:
    """One service as a process, which can be killed and started again at the same address."""

    def __init__(
        self, name: str, address: str, environment: Mapping[str, str], log: Log, credentials: Credentials = ANONYMOUS
    ) -> None:
        """Its metrics get a free port if the environment names none; the credentials are for asking if it is ready."""
        self.name = name
        self.address = address
        self._environment = {f"VIDEOSEARCH_{name.upper()}_METRICS_LISTEN": "127.0.0.1:0", **environment}
        self._log = log
        self._credentials = credentials
        self._lines: deque[str] = deque(maxlen=5)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def process(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise StackError(f"{self.name} was not started")
        return self._process

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"services.{self.name}"),
            env={**os.environ, **self._environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for us; we stop our services in order
        )
        self._reading = asyncio.create_task(self._read())

    async def ready(self, timeout_s: float = 120.0) -> None:
        """Return once the service is SERVING."""
        deadline = time.monotonic() + timeout_s
        async with CLIENTS[self.name](self.address, self._credentials) as client:
            while time.monotonic() < deadline:
                await self.raise_if_stopped()
                try:
                    if await client.serving(timeout_s=1.0):
                        return
                except (UnavailableError, DeadlineError):
                    pass
                await asyncio.sleep(0.05)
        raise StackError(f"{self.name} is not ready after {timeout_s:g} s: {self._last_lines()}")

    async def raise_if_stopped(self) -> None:
        if self.process.returncode is not None:
            await self._ended()  # its last words may still be on their way
            raise StackError(f"{self.name} stopped with exit status {self.process.returncode}: {self._last_lines()}")

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self.process.kill()
        await self._ended()

    async def stop(self, grace_s: float = 15.0) -> None:
        """SIGTERM, and SIGKILL if that does not help."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                self._process.kill()
        await self._ended()

    async def _ended(self) -> None:
        await self.process.wait()
        if self._reading:
            await self._reading

    async def _read(self) -> None:
        stdout = self.process.stdout
        while stdout and (line := await stdout.readline()):
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            self._log(self.name, text)

    def _last_lines(self) -> str:
        return " | ".join(self._lines) or "it printed nothing"


class Stack:
    """All four services; entered, they are ready, and left, they have stopped."""

    def __init__(
        self,
        folder: Path,
        *,
        log: Log,
        addresses: Mapping[str, str] | None = None,
        settings: Mapping[str, str],
        credentials: Credentials = ANONYMOUS,
    ) -> None:
        """Keep data under `folder`; take free ports unless `addresses` names them; pass `settings` as environment.

        `credentials` fit those settings: with them the services are asked whether they are ready.
        """
        self.addresses = dict(addresses or free_addresses())
        self.environment = {
            **{f"VIDEOSEARCH_{name.upper()}_ADDRESS": address for name, address in self.addresses.items()},
            **{f"VIDEOSEARCH_{name.upper()}_LISTEN": address for name, address in self.addresses.items()},
            "VIDEOSEARCH_STORE_DATA_FOLDER": str(folder / "store"),
            "VIDEOSEARCH_INDEXER_DATA_FOLDER": str(folder / "indexer"),
            **settings,
        }
        self.services = {
            name: Service(name, address, self.environment, log, credentials) for name, address in self.addresses.items()
        }

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def until_one_stops(self) -> None:
        """Wait until a service stops by itself, and raise StackError about it."""
        waits = [asyncio.create_task(service.process.wait()) for service in self.services.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for service in self.services.values():
            await service.raise_if_stopped()

    async def _start(self) -> None:
        for name, address in self.addresses.items():
            await _check_free(name, address)
        for service in self.services.values():
            await service.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                for service in self.services.values():
                    tasks.create_task(service.ready())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _stop(self) -> None:
        for name in ("search", "indexer", "embedder", "store"):  # callers before those they call
            await self.services[name].stop()


def free_addresses() -> dict[str, str]:
    """An unused loopback address for each service."""
    sockets = {name: socket.socket() for name in CLIENTS}
    try:
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: f"127.0.0.1:{each.getsockname()[1]}" for name, each in sockets.items()}
    finally:
        for each in sockets.values():
            each.close()


async def _check_free(name: str, address: str) -> None:
    """StackError unless the service can listen there: whoever does already would answer for it that it is ready."""
    host, _, port = address.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        for family, _, _, _, numeric in found:
            _bind(family, numeric, others=len(found) > 1)
    except OSError as error:
        raise StackError(f"{name} cannot listen on {address}: {error.strerror}") from error


def _bind(family: int, numeric: tuple[Any, ...], *, others: bool) -> None:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed one may linger
            probe.bind(numeric)
    except OSError as error:
        # A name such as localhost has an IPv6 address even where there is no IPv6.
        if not others or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise
