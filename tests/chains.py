"""Search between an embedder and a store, with all that guards them: TLS both ways, and tokens."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.common.clients.credentials import Credentials
from services.common.clients.embedder import EmbedderClient
from services.common.clients.store import StoreClient
from services.common.methods import Role
from services.search.query import Search
from services.search.servicer import SearchServicer
from services.store.catalog import Catalog
from services.store.servicer import StoreServicer
from tests.certificates import Authority
from tests.secured import GIVEN, TOKENS, tls
from tests.servers import serving
from tests.standins import CACHED_TEXTS, WordEmbedder, fill
from videosearch.v1 import embedder_pb2_grpc, search_pb2_grpc, store_pb2_grpc


@dataclass(frozen=True)
class Chain:
    authority: Authority
    caller: Credentials
    """Of whom the services let in, without a token."""
    search: str
    store: str
    embedder: str

    def told_to(self, environment: pytest.MonkeyPatch, token: str) -> None:
        """Tell the command line where the services are, and how they are called."""
        environment.setenv("VIDEOSEARCH_SEARCH_ADDRESS", self.search)
        environment.setenv("VIDEOSEARCH_STORE_ADDRESS", self.store)
        environment.setenv("VIDEOSEARCH_TLS_CA_FILE", str(self.authority.file))
        environment.setenv("VIDEOSEARCH_TLS_CERTIFICATE_FILE", str(self.caller.identity.certificate))
        environment.setenv("VIDEOSEARCH_TLS_KEY_FILE", str(self.caller.identity.key))
        environment.setenv("VIDEOSEARCH_TOKEN", token)


@asynccontextmanager
async def chain(folder, searchs_token: str = TOKENS[Role.READ]):
    """Search between an embedder and a store, each with a certificate of its own, which take TOKENS and nobody else."""
    authority = Authority(folder / "certificates")
    mine = Credentials(authority.file, authority.issue("person"))
    own = Credentials(authority.file, authority.issue("search"), searchs_token)
    servicer = StoreServicer()

    def served(name, add, servicer):
        settings = tls(authority.issue(name), authority.file)
        return serving(f"videosearch.v1.{name}", add, servicer, tokens=GIVEN, **settings)

    with Catalog(folder / "store") as catalog:
        servicer.use(catalog)
        add_embedder = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
        async with (
            served("EmbedderService", add_embedder, WordEmbedder()) as embedder_address,
            served("StoreService", store_pb2_grpc.add_StoreServiceServicer_to_server, servicer) as store_address,
            EmbedderClient(embedder_address, own) as embedder,
            StoreClient(store_address, own) as store,
            served(
                "SearchService",
                search_pb2_grpc.add_SearchServiceServicer_to_server,
                SearchServicer(Search(embedder, CACHED_TEXTS), store),
            ) as search_address,
        ):
            async with StoreClient(store_address, replace(mine, token=TOKENS[Role.WRITE])) as writer:
                await fill(writer)
            yield Chain(authority, mine, search_address, store_address, embedder_address)
