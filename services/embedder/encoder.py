"""What a model must be able to do to serve embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray
from PIL import Image

from services.common.media import Matrix, Model

Precision = Literal["float32", "bfloat16", "float16"]

Pixels: TypeAlias = Mapping[str, NDArray[Any]]
"""One image as the model takes it: arrays by the names of its inputs, without the axis of the batch."""


class TextEmbeddings(NamedTuple):
    matrix: Matrix
    truncated: tuple[bool, ...]
    """For each text, whether it was longer than the model reads."""


class Encoder(Protocol):
    """A model in memory. `prepare` may be called from any thread; the rest only from the one that owns the model."""

    @property
    def model(self) -> Model: ...

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize, crop and scale an RGB image."""
        ...

    def encode_images(self, images: Sequence[Pixels]) -> Matrix: ...

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings: ...
