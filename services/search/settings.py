"""What the search service can be told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.settings import SEARCH_PORT, PeerSettings


class SearchSettings(PeerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_SEARCH_")

    listen: str = f"127.0.0.1:{SEARCH_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    cached_texts: int = Field(10_000, ge=0)
    """Texts whose embeddings are remembered for ten minutes, some KiB each. 0 means none."""
