"""What tests of TLS and tokens have in common: a token for each role, a small store, and how both ends are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from services.common.access import Caller, line_of
from services.common.clients.store import StoreClient
from services.common.methods import Role
from services.common.tls import Identity
from tests.servers import serving
from videosearch.v1 import store_pb2, store_pb2_grpc

TOKENS = {role: f"{role.name.lower()}-token-that-nobody-guesses-0123456789" for role in Role}

GIVEN = ",".join(f"{role.name.lower()}er:{role.name.lower()}:{token}" for role, token in TOKENS.items())
"""As VIDEOSEARCH_TOKENS has them."""


UNKNOWN = "a-token-that-was-never-given-0123456789"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def line(token: str, role: Role = Role.READ) -> str:
    """Of the file of tokens."""
    return line_of(Caller("somebody", role), token) + "\n"


def tls(identity: Identity, client_ca: Path | None = None) -> dict[str, Any]:
    """Settings of a server that shows this identity, and lets in only whom `client_ca` knows if it is given."""
    return {
        "tls_certificate_file": identity.certificate,
        "tls_key_file": identity.key,
        "tls_client_ca_file": client_ca,
    }


class Counting(store_pb2_grpc.StoreServiceServicer):
    """Has three videos, and a backup that comes a piece at a time as it is told."""

    def __init__(self) -> None:
        self.callers: list[bytes] = []
        """The common name in the certificate of each call's caller."""
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def GetStats(self, request, context):
        self.callers.extend(context.auth_context().get("x509_common_name", ()))
        return store_pb2.GetStatsResponse(video_count=3)

    async def Backup(self, request, context) -> AsyncIterator[store_pb2.BackupResponse]:
        while True:
            yield store_pb2.BackupResponse(data=await self.pieces.get())


def counting(servicer: Counting | None = None, **settings: Any) -> AbstractAsyncContextManager[str]:
    """The address of that store."""
    add = store_pb2_grpc.add_StoreServiceServicer_to_server
    return serving(StoreClient.service, add, servicer or Counting(), **settings)
