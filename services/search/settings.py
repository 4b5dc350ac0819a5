"""What the search service can be told by its environment."""

from pydantic_settings import SettingsConfigDict

from services.common.settings import (
    EMBEDDER_PORT,
    SEARCH_PORT,
    STORE_PORT,
    EmbedderAddress,
    ServerSettings,
    StoreAddress,
)


class SearchSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_SEARCH_")

    listen: str = f"127.0.0.1:{SEARCH_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    embedder_address: EmbedderAddress = f"127.0.0.1:{EMBEDDER_PORT}"
    """Where the embedder is found."""
    store_address: StoreAddress = f"127.0.0.1:{STORE_PORT}"
    """Where the store is found."""
