"""Texts to tokens, with an honest word on what was cut off."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.embedder.batches import rounded_up
from services.embedder.encoder import Inputs, PreparedText

MAX_CHARACTERS = 10_000
"""More of a text is not even looked at: no model reads that far, and tokenizing megabytes would hold up the others."""

SHORTEST = 16
"""Tokens: shorter texts are padded to as many, so that there are few shapes of batches."""


class TextTokenizer:
    """A transformers tokenizer with a limit."""

    def __init__(self, tokenizer: Any, max_tokens: int, *, always_full: bool = False, lower_case: bool = False) -> None:
        """`always_full`: the model was trained on texts padded to the limit."""
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._always_full = always_full
        self._lower_case = lower_case
        self._lock = threading.Lock()  # a tokenizer's calls change it

    def __deepcopy__(self, _: Any) -> "TextTokenizer":
        """One for all copies of a tower."""
        return self

    def __call__(self, text: str) -> PreparedText:
        head = text[:MAX_CHARACTERS].lower() if self._lower_case else text[:MAX_CHARACTERS]
        with self._lock:
            tokens = self._tokenizer(head, truncation=False, verbose=False)
            if too_long := len(tokens["input_ids"]) > self.max_tokens:
                tokens = self._tokenizer(head, truncation=True, max_length=self.max_tokens)
        inputs = {name: np.asarray(values) for name, values in tokens.items()}
        return PreparedText(inputs, too_long or len(text) > MAX_CHARACTERS)

    def collate(self, texts: Sequence[Inputs]) -> Inputs:
        """Padded to the next of few lengths, or to the limit."""
        longest = max(len(text["input_ids"]) for text in texts)
        length = self.max_tokens if self._always_full else min(max(rounded_up(longest), SHORTEST), self.max_tokens)
        rows = [{name: values.tolist() for name, values in text.items()} for text in texts]
        return dict(self._tokenizer.pad(rows, padding="max_length", max_length=length, return_tensors="np"))
