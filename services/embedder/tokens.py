"""Texts to tokens, with an honest word on what was cut off."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

Padding: TypeAlias = Literal["longest", "max_length"]

MAX_CHARACTERS = 10_000
"""More of a text is not even looked at: no model reads that far, and tokenizing megabytes would hold up the others."""


class Tokens(NamedTuple):
    inputs: dict[str, Tensor]
    """Arguments of the model's text tower, each (B, T)."""
    truncated: tuple[bool, ...]


class TextTokenizer:
    """A transformers tokenizer with a limit. Not for several threads at once: its calls change it."""

    def __init__(self, tokenizer: Any, max_tokens: int, padding: Padding = "longest") -> None:
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._padding = padding

    def __call__(self, texts: Sequence[str], device: torch.device) -> Tokens:
        heads = [text[:MAX_CHARACTERS] for text in texts]
        whole = self._tokenizer(heads, truncation=False, verbose=False)["input_ids"]
        truncated = tuple(
            len(tokens) > self.max_tokens or len(text) > MAX_CHARACTERS
            for tokens, text in zip(whole, texts, strict=True)
        )
        inputs = self._tokenizer(
            heads, truncation=True, max_length=self.max_tokens, padding=self._padding, return_tensors="pt"
        )
        return Tokens({name: tensor.to(device) for name, tensor in inputs.items()}, truncated)
