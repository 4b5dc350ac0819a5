"""Embeddings of texts: those of late are remembered, and what several ask for at the same time is embedded once."""

import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from cachetools import TTLCache

from services.common.media import TextEmbedding
from services.search.metrics import TEXTS
from services.search.shared import Shared

REMEMBERED_S = 600.0
"""Not for longer: with other templates the embedder makes others, and the model's fingerprint does not tell."""


class Embedder(Protocol):
    async def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]: ...


class EmbeddedTexts(NamedTuple):
    embeddings: list[TextEmbedding]
    """One for each text, in their order."""
    remembered: frozenset[str]
    """The models of those that were not embedded for this."""


class Texts:
    def __init__(self, embedder: Embedder, remembered_count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._embedder = embedder
        # By a digest, so that a long text takes no more room than a short one.
        self._remembered: TTLCache[bytes, TextEmbedding, float] = TTLCache(remembered_count, REMEMBERED_S, clock)
        self._embedding: Shared[tuple[str, ...], list[TextEmbedding]] = Shared()

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """One call of the embedder at most, for all that are not remembered."""
        known = {text: found for text in texts if (found := self._remembered.get(_key(text))) is not None}
        models = frozenset(found.model for found in known.values())
        if new := tuple(dict.fromkeys(text for text in texts if text not in known)):
            embeddings = await self._embedding.result(new, lambda: self._embed(new))
            known |= zip(new, embeddings, strict=True)
        TEXTS.labels("embedded").inc(len(new))
        TEXTS.labels("remembered").inc(len(known) - len(new))
        return EmbeddedTexts([known[text] for text in texts], models)

    def forget(self, models: Collection[str]) -> None:
        """Remember no embedding that one of these models made."""
        for key, embedding in list(self._remembered.items()):
            if embedding.model in models:
                self._remembered.pop(key, None)

    async def _embed(self, texts: tuple[str, ...]) -> list[TextEmbedding]:
        embeddings = await self._embedder.embed_texts(texts)
        if self._remembered.maxsize:
            self._remembered.update(zip(map(_key, texts), embeddings, strict=True))
        return embeddings


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
