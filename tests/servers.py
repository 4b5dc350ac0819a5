"""Real servers on loopback, in the test's own event loop."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from services.common.server import Server
from services.common.settings import ServerSettings


@asynccontextmanager
async def serving(
    service_name: str, add: Callable[..., None], *servicer: object, listen: str = "127.0.0.1:0", **settings: Any
) -> AsyncIterator[str]:
    """Serve what `add(*servicer, server)` adds, on a free port if no other is named; yields its address."""
    made = ServerSettings(listen=listen, grace_s=0.2, **settings)
    async with Server(made, service_name, partial(add, *servicer)) as server:
        await server.ready()
        yield f"127.0.0.1:{server.port}"
