"""Search can answer while the embedder and the store can: its health follows theirs."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from services.common.errors import VideosearchError

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
"""A check is two small calls on open connections; a lost connection is tried anew with gRPC's own backoff."""


class Peer(Protocol):
    @property
    def address(self) -> str: ...
    async def serving(self) -> bool: ...


class Server(Protocol):
    async def ready(self) -> None: ...
    async def not_ready(self) -> None: ...


async def follow(peers: Sequence[Peer], server: Server, interval_s: float = CHECK_INTERVAL_S) -> None:
    """Keep the server ready exactly while all peers serve, until cancelled. It begins as not ready."""
    reason: str | None = ""
    while True:
        before, reason = reason, await _reason_to_wait(peers)
        if reason is None and before is not None:
            await server.ready()
        elif reason is not None and before is None:
            await server.not_ready()
        if reason is not None and reason != before:
            log.warning("waiting for a peer", extra={"reason": reason})
        await asyncio.sleep(interval_s)


async def _reason_to_wait(peers: Sequence[Peer]) -> str | None:
    for peer in peers:
        try:
            if not await peer.serving():
                return f"{peer.address} is not serving yet"
        except VideosearchError as error:
            return str(error)
    return None
