"""Where the four services are found, and how."""

from pydantic_settings import SettingsConfigDict

from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.settings import EMBEDDER_PORT, INDEXER_PORT, SEARCH_PORT, STORE_PORT, CallerSettings


class Services(CallerSettings):
    """Read from the environment: `VIDEOSEARCH_STORE_ADDRESS` and so on. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix="VIDEOSEARCH_", env_ignore_empty=True, frozen=True, use_attribute_docstrings=True
    )

    embedder_address: str = f"127.0.0.1:{EMBEDDER_PORT}"
    """Where the embedder is found."""
    store_address: str = f"127.0.0.1:{STORE_PORT}"
    """Where the store is found."""
    indexer_address: str = f"127.0.0.1:{INDEXER_PORT}"
    """Where the indexer is found."""
    search_address: str = f"127.0.0.1:{SEARCH_PORT}"
    """Where the search service is found."""
    tracing: bool = False
    """Trace the command, as the services do what they are asked."""

    def embedder(self, address: str = "") -> EmbedderClient:
        return EmbedderClient(address or self.embedder_address, self.credentials)

    def store(self) -> StoreClient:
        return StoreClient(self.store_address, self.credentials)

    def indexer(self) -> IndexerClient:
        return IndexerClient(self.indexer_address, self.credentials)

    def search(self) -> SearchClient:
        return SearchClient(self.search_address, self.credentials)
