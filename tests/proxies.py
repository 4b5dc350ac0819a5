"""A connection between a client and a server that can be watched and cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Passes bytes on, both ways."""

    def __init__(self, address: str, from_host: str) -> None:
        self._to = address.rpartition(":")
        self._from = (from_host, 0)
        self._open: list[asyncio.StreamWriter] = []
        self.address = ""
        self.connections = 0
        self.heard = asyncio.Event()
        """Set by each piece that comes from a client."""
        self.passing = asyncio.Event()
        """While it is clear, the other side seems to hang."""
        self.passing.set()
        self._server: asyncio.Server | None = None

    async def begin(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Be as a machine that has lost its power: connections end, and no others are taken."""
        if self._server:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """End all connections, without a word."""
        while self._open:
            self._open.pop().transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            there, onward = await asyncio.open_connection(self._to[0], int(self._to[2]), local_addr=self._from)
        except OSError:
            writer.transport.abort()
            return
        self._open += (writer, onward)
        await asyncio.gather(self._pump(reader, onward, self.heard), self._pump(there, writer, None))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Event | None
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                if heard:
                    heard.set()
                await self.passing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def proxied(address: str, from_host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """Before the server at this address, which is called from that host."""
    proxy = Proxy(address, from_host)
    await proxy.begin()
    try:
        yield proxy
    finally:
        proxy.close()
