"""Where the four services are found."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.settings import EMBEDDER_PORT, INDEXER_PORT, SEARCH_PORT, STORE_PORT


class Addresses(BaseSettings):
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
