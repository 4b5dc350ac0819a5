"""What the store can be told by its environment."""

from pathlib import Path

from pydantic_settings import SettingsConfigDict

from services.common.settings import STORE_METRICS_PORT, STORE_PORT, ServerSettings


class StoreSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_STORE_")

    listen: str = f"127.0.0.1:{STORE_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    metrics_listen: str = f"127.0.0.1:{STORE_METRICS_PORT}"
    """Address and port to serve Prometheus metrics on, at `/metrics`, by HTTP. Port 0 takes any free one; empty means
    none."""
    data_folder: Path = Path("data/store")
    """Folder of the database; created if missing. One store at a time can have it open."""
