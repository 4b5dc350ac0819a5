"""A search: the text is embedded, then videos or scenes are ranked by it."""

from dataclasses import replace
from typing import Protocol

from services.common.media import TextEmbedding
from services.common.ranking import EmbeddingPart, Query, RankedScenes, RankedVideos, SceneRanking, VideoRanking


class Embedder(Protocol):
    async def embed_text(self, text: str) -> TextEmbedding: ...


class Store(Protocol):
    async def find_videos(self, query: Query, ranking: VideoRanking) -> RankedVideos: ...
    async def find_scenes(self, query: Query, ranking: SceneRanking) -> RankedScenes: ...


class Search:
    def __init__(self, embedder: Embedder, store: Store) -> None:
        self._embedder = embedder
        self._store = store

    async def videos(self, text: str, ranking: VideoRanking) -> RankedVideos:
        query, truncated = await self._query(text)
        found = await self._store.find_videos(query, ranking)
        return replace(found, query_truncated=truncated)

    async def scenes(self, text: str, ranking: SceneRanking) -> RankedScenes:
        query, truncated = await self._query(text)
        found = await self._store.find_scenes(query, ranking)
        return replace(found, query_truncated=truncated)

    async def _query(self, text: str) -> tuple[Query, bool]:
        """And whether the text was longer than the model reads."""
        embedded = await self._embedder.embed_text(text)
        return (EmbeddingPart(embedded.vector, embedded.model),), embedded.truncated
