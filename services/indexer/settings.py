"""What the indexer can be told by its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.common.settings import INDEXER_PORT, PeerSettings


class IndexerSettings(PeerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_INDEXER_")

    listen: str = f"127.0.0.1:{INDEXER_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    data_folder: Path = Path("data/indexer")
    """Folder of the job database and of downloads under way. Created if missing."""
    video_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders whose files may be indexed, joined by `:`. Empty means no local files."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that videos may be downloaded from, joined by `,`. Empty means no downloads."""
    max_download_bytes: int = Field(20 << 30, gt=0)
    """Largest download."""
    max_download_s: float = Field(3600.0, gt=0)
    """Longest download in seconds."""
    max_running_jobs: int = Field(1, ge=1)
    """Jobs worked on at the same time. One job keeps two cores busy."""
    max_queued_jobs: int = Field(100_000, ge=1)
    """Jobs waiting; more are refused with RESOURCE_EXHAUSTED."""
    patience_s: float = Field(300.0, ge=0)
    """Seconds that a job waits for an embedder or store that is away before it fails."""

    @field_validator("video_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
