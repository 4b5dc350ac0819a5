"""What the search service can be told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.settings import SEARCH_METRICS_PORT, SEARCH_PORT, PeerSettings


class SearchSettings(PeerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_SEARCH_")

    listen: str = f"127.0.0.1:{SEARCH_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    metrics_listen: str = f"127.0.0.1:{SEARCH_METRICS_PORT}"
    """Address and port to serve Prometheus metrics on, at `/metrics`, by HTTP. Port 0 takes any free one; empty means
    none."""
    cached_texts: int = Field(10_000, ge=0)
    """Texts whose embeddings are remembered for ten minutes, some KiB each. 0 means none."""
