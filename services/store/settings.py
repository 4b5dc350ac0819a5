"""What the store can be told by its environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.settings import STORE_PORT, ServerSettings


class StoreSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_STORE_")

    listen: str = f"127.0.0.1:{STORE_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    data_folder: Path = Path("data/store")
    """Folder of the database; created if missing. One store at a time can have it open."""
    max_scenes_per_video: int = Field(100_000, ge=1)
    """Most scenes of one video, held in memory until it is committed: about 3 KB a scene of 512-d embeddings."""
