"""A search: the text is embedded, then videos or scenes are ranked by it."""

from dataclasses import replace
from typing import Protocol

from services.common.media import TextEmbedding, Vector
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking


class Embedder(Protocol):
    async def embed_text(self, text: str) -> TextEmbedding: ...


class Store(Protocol):
    async def find_videos(self, query: Vector, model: str, ranking: VideoRanking) -> RankedVideos: ...
    async def find_scenes(self, query: Vector, model: str, ranking: SceneRanking) -> RankedScenes: ...


class Search:
    def __init__(self, embedder: Embedder, store: Store) -> None:
        self._embedder = embedder
        self._store = store

    async def videos(self, text: str, ranking: VideoRanking) -> RankedVideos:
        query = await self._embedder.embed_text(text)
        found = await self._store.find_videos(query.vector, query.model, ranking)
        return replace(found, query_truncated=query.truncated)

    async def scenes(self, text: str, ranking: SceneRanking) -> RankedScenes:
        query = await self._embedder.embed_text(text)
        found = await self._store.find_scenes(query.vector, query.model, ranking)
        return replace(found, query_truncated=query.truncated)
