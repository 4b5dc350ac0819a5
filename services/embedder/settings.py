"""What the embedder can be told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.settings import EMBEDDER_PORT, ServerSettings
from services.embedder.encoder import Precision


class EmbedderSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_EMBEDDER_")

    listen: str = f"127.0.0.1:{EMBEDDER_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    model: str = Field("lite", min_length=1)
    """`lite` (bundled), a folder with a CLIP-family checkpoint, or its name on the hub, such as
    `openai/clip-vit-base-patch32`."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` (the first GPU if there is one), `cpu`, `cuda` or `cuda:N`."""
    precision: Precision = "float32"
    """Arithmetic of the model. Half precision is for GPUs, and CPUs that have it in hardware."""
    max_batch: int = Field(16, ge=1, le=4096)
    """Texts or images in one forward pass; a longer call takes several. 16 suits a few CPU cores, 64 a GPU."""
    max_queue: int = Field(1024, ge=256)
    """Texts and images that may wait for the model; calls beyond are refused as RESOURCE_EXHAUSTED."""
    max_image_pixels: int = Field(50_000_000, ge=1, le=89_000_000)
    """Largest image, width times height, that is decoded. At most 89 million: from there Pillow refuses by itself."""
