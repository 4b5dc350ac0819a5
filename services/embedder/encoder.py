"""What a model must be able to do to serve embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from services.common.media import Matrix, Model

BackEnd = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16", "float16", "int8"]

Inputs: TypeAlias = Mapping[str, NDArray[Any]]
"""One image or text as a tower takes it: arrays by the names of its inputs, without the axis of the batch."""


class PreparedText(NamedTuple):
    inputs: Inputs
    truncated: bool
    """Whether the text was longer than the model reads."""


class DeviceLostError(Exception):
    """The device that a model runs on has failed; only a new process can use it again."""


class Encoder(Protocol):
    """A model in memory. What prepares is for any thread, the rest for the one that owns the model."""

    @property
    def model(self) -> Model: ...

    def prepare_image(self, image: Image.Image) -> Inputs:
        """Resize and crop an RGB image."""
        ...

    def prepare_text(self, text: str) -> PreparedText:
        """Cut a text into tokens."""
        ...

    def encode_images(self, images: Sequence[Inputs]) -> Matrix:
        """One unit row an image. DeviceLostError if nothing can be computed any more."""
        ...

    def encode_texts(self, texts: Sequence[Inputs]) -> Matrix:
        """As `encode_images`."""
        ...
