"""What the embedder can be told by its environment."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Json
from pydantic_settings import SettingsConfigDict

from services.common.methods import LARGE_BYTES
from services.common.settings import EMBEDDER_METRICS_PORT, EMBEDDER_PORT, ServerSettings
from services.embedder.encoder import BackEnd, Precision
from services.embedder.templates import PLACE


def _template(text: str) -> str:
    if text.count(PLACE) != 1:
        raise ValueError(f"a template holds {PLACE} exactly once, where the text goes")
    return text


class EmbedderSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_EMBEDDER_")

    listen: str = f"127.0.0.1:{EMBEDDER_PORT}"
    """Address and port to serve on. Port 0 takes any free one."""
    metrics_listen: str = f"127.0.0.1:{EMBEDDER_METRICS_PORT}"
    """Address and port to serve Prometheus metrics on, at `/metrics`, by HTTP. Port 0 takes any free one; empty means
    none."""
    model: str = Field("lite", min_length=1)
    """`lite` (bundled), a folder with a CLIP-family checkpoint, or its name on the hub, such as
    `openai/clip-vit-base-patch32`."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`cpu`, `cuda` (every GPU, each with a replica of the model), `cuda:N`, or `auto`: GPUs if there are any."""
    back_end: BackEnd | Literal["auto"] = "auto"
    """What computes: `torch`, `openvino` (an extra, for CPUs), or `auto`: the faster, measured at start."""
    precision: Precision | Literal["auto"] = "auto"
    """Arithmetic of the model: `float32`, `bfloat16`, `float16`, `int8` (openvino), or `auto`: the fastest that the
    hardware has and that changes no ranking, measured at start."""
    offline: bool = False
    """Never ask the network for a model: it is a folder, or was fetched before."""
    templates: Json[tuple[Annotated[str, AfterValidator(_template)], ...]] = Field((), validate_default=False)
    """Sentences to put each text in, as a JSON list such as `["a photo of {}.", "{}"]`; their embeddings are averaged.
    Embeddings of images and the model's fingerprint do not depend on them. An empty list means the text as it is."""
    max_batch: int = Field(64, ge=1, le=4096)
    """Most images in one forward pass. How many are best is measured at start, up to this."""
    max_queue: int = Field(1024, ge=256)
    """Texts and images accepted and not yet embedded; calls beyond are refused as RESOURCE_EXHAUSTED."""
    max_queue_bytes: int = Field(256 << 20, ge=LARGE_BYTES)
    """As `max_queue`, in bytes of the texts and images as they came."""
    max_image_pixels: int = Field(50_000_000, ge=1, le=89_000_000)
    """Largest image, width times height, that is decoded. At most 89 million: from there Pillow refuses by itself."""
