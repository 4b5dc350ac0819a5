"""A model as its family defines it: two towers in float32 on the CPU. What computes them is a back end's affair."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from torch import nn

from services.embedder.encoder import Inputs, PreparedText


class Tokenizer(Protocol):
    max_tokens: int

    def __call__(self, text: str) -> PreparedText:
        """Tokens of one text, cut to `max_tokens`; from any thread."""
        ...

    def collate(self, texts: Sequence[Inputs]) -> Inputs:
        """Texts of several lengths as one batch: arrays (B, T), T one of few lengths."""
        ...


@dataclass(frozen=True, slots=True)
class Towers:
    name: str
    fingerprint: str
    images: nn.Module
    """Takes what `prepare_image` gives, batched, as keyword arguments of those names: (B, D), of any length."""
    texts: nn.Module
    """Takes what `tokenize.collate` gives, as keyword arguments of those names: (B, D), of any length."""
    prepare_image: Callable[[Image.Image], Inputs]
    """A `pixels.Resize` where that is all there is to it: a GPU can do it."""
    tokenize: Tokenizer
    image_size: int
    """The model sees images of about this many pixels a side."""
    logit_scale: float
    """What the cosine was multiplied by in training; 0 if the model has no such factor."""
    traceable: bool = True
    """Whether a trace of one batch computes all others: only then can another back end than torch have the towers."""
