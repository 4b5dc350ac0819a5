"""A search: the text is embedded, then videos or scenes are ranked by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.common.media import SceneHit, TextEmbedding, Vector, Video, VideoHit
from services.common.ranking import SceneRanking, VideoRanking


class Embedder(Protocol):
    async def embed_text(self, text: str) -> TextEmbedding: ...


class SceneHits(Protocol):
    @property
    def hits(self) -> Sequence[SceneHit]: ...
    @property
    def videos(self) -> Sequence[Video]: ...


class Store(Protocol):
    async def find_videos(self, query: Vector, model: str, ranking: VideoRanking) -> Sequence[VideoHit]: ...
    async def find_scenes(self, query: Vector, model: str, ranking: SceneRanking) -> SceneHits: ...


@dataclass(frozen=True, slots=True)
class FoundVideos:
    hits: Sequence[VideoHit]
    query_truncated: bool
    """Whether the text was longer than the model reads."""


@dataclass(frozen=True, slots=True)
class FoundScenes:
    hits: Sequence[SceneHit]
    videos: Sequence[Video]
    """The videos of the hits, each once."""
    query_truncated: bool


class Search:
    def __init__(self, embedder: Embedder, store: Store) -> None:
        self._embedder = embedder
        self._store = store

    async def videos(self, text: str, ranking: VideoRanking) -> FoundVideos:
        query = await self._embedder.embed_text(text)
        hits = await self._store.find_videos(query.vector, query.model, ranking)
        return FoundVideos(hits, query.truncated)

    async def scenes(self, text: str, ranking: SceneRanking) -> FoundScenes:
        query = await self._embedder.embed_text(text)
        found = await self._store.find_scenes(query.vector, query.model, ranking)
        return FoundScenes(found.hits, found.videos, query.truncated)
