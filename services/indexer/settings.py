"""What the indexer can be told by its environment."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.common.settings import INDEXER_METRICS_PORT, INDEXER_PORT, PeerSettings
from services.indexer.images import Keep


class IndexerSettings(PeerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_INDEXER_")

    listen: str = f"127.0.0.1:{INDEXER_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    metrics_listen: str = f"127.0.0.1:{INDEXER_METRICS_PORT}"
    """Address and port to serve Prometheus metrics on, at `/metrics`, by HTTP. Port 0 takes any free one; empty means
    none."""
    data_folder: Path = Path("data/indexer")
    """Folder of the job database, and of downloads and uploads. Created if missing."""
    video_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders whose files may be indexed, joined by `:`. Empty means no local files."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that videos may be downloaded from, joined by `,`. Empty means no downloads."""
    private_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Private networks that allowed hosts may be in, such as `10.0.0.0/8`, joined by `,`. Empty means none."""
    object_prefixes: Annotated[tuple[str, ...], NoDecode] = ()
    """Where objects may be indexed, such as `s3://bucket/folder/`, joined by `,`. Empty means none."""
    max_video_bytes: int = Field(20 << 30, gt=0)
    """Largest download or upload."""
    max_spool_bytes: int = Field(100 << 30, gt=0)
    """Room for downloads and uploads, in all. What finds none is told to come again, or tried again."""
    max_download_s: float = Field(3600.0, gt=0)
    """Longest download in seconds."""
    max_running_jobs: int = Field(1, ge=1)
    """Jobs worked on at the same time. One job keeps two cores busy."""
    max_queued_jobs: int = Field(100_000, ge=1)
    """Jobs waiting; more are refused with RESOURCE_EXHAUSTED."""
    patience_s: float = Field(300.0, ge=0)
    """Seconds that a job waits for an embedder or store that is away before its attempt fails."""
    max_attempts: int = Field(5, ge=1)
    """Attempts, minutes apart in the end, that may fail for want of a peer, a download or room before a job does."""
    history_days: float = Field(30.0, gt=0)
    """Days that jobs are remembered once they have ended."""
    max_decode_memory_bytes: int = Field(4 << 30, ge=512 << 20)
    """Memory that the decoder of one video may take. On two cores, 8K of 10 bits takes 1.6 GB; more on more."""
    max_silence_s: float = Field(120.0, gt=0)
    """Seconds without a decoded frame after which a decoder is taken to hang."""
    max_frame_pixels: int = Field(50_000_000, gt=0)
    """Pixels of the largest frame that is decoded. The default is half as much again as 8K."""
    max_frames: int = Field(10_000_000, gt=0)
    """Frames of the longest video."""
    max_video_duration_s: float = Field(86_400.0, gt=0)
    """Seconds of the longest video."""
    images: Keep = Keep.SCENE
    """JPEGs kept with a video: `none`, `scene` (the sampled frame nearest to each scene's middle) or `samples` (every
    sampled frame, so that `videosearch store reembed` can move to another model without the videos)."""
    min_image_side: int = Field(0, ge=0, le=384)
    """Least shorter side in pixels of sampled frames: they have what the model asks for, or this if it is more. What
    a later model of larger input will ask for, if you know it."""

    @field_validator("video_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("allowed_hosts", "private_networks", "object_prefixes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
