"""A search: what a description has in words and pictures is embedded, then somebody is asked for what is near."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from services.common.errors import InvalidInputError, PreconditionError, VideosearchError
from services.common.media import FrameEmbeddings, TextEmbedding, Vector
from services.common.ranking import Description, ImagePart, Query, StoredPart, TextPart
from services.common.stages import stage
from services.search import cursors
from services.search.cursors import Embedded
from services.search.texts import Texts

T = TypeVar("T")
U = TypeVar("U")

Ask = Callable[[Query, str], Awaitable[T]]
"""Asks the store, with the cursor that it returned or ""."""


class Embedder(Protocol):
    async def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]: ...
    async def embed_images(self, images: Sequence[bytes]) -> FrameEmbeddings: ...


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    answer: T
    """The store's."""
    description: Description
    embedded: Embedded

    def cursor(self, of_store: str) -> str:
        """Where the search goes on, given where the store does."""
        return cursors.encode(of_store, self.embedded, self.description)


class Search:
    def __init__(self, embedder: Embedder, remembered_texts: int) -> None:
        self._embedder = embedder
        self._texts = Texts(embedder, remembered_texts)

    async def find(self, description: Description, cursor: str, ask: Ask[T]) -> Found[T]:
        """What the store answers to the description, or to what follows that cursor of ours."""
        if cursor:
            return await self._next(description, cursor, ask)
        with stage("embed"):
            embedded, remembered = await self._embedded(description)
        try:
            with stage("find"):
                answer = await ask(embedded.query(description), "")
        except PreconditionError:
            if not remembered:
                raise
            self._texts.forget(remembered)  # the store may have another model since, and so may the embedder
            embedded, _ = await self._embedded(description)
            answer = await ask(embedded.query(description), "")
        return Found(answer, description, embedded)

    async def _next(self, description: Description, cursor: str, ask: Ask[T]) -> Found[T]:
        of_store, embedded = cursors.decode(cursor, description)
        try:
            with stage("find"):
                return Found(await ask(embedded.query(description), of_store), description, embedded)
        except InvalidInputError as error:  # about the cursor that it knows
            raise InvalidInputError(str(error).replace(of_store[:100], cursor[:100])) from error
        except PreconditionError as error:
            raise PreconditionError(f"{error}; begin without a cursor") from error

    async def _embedded(self, description: Description) -> tuple[Embedded, frozenset[str]]:
        """And the models of what was remembered of it."""
        texts = [part.text for part in description if isinstance(part, TextPart)]
        if any(isinstance(part, ImagePart) for part in description):
            found, images = await _both(self._texts.embed(texts), self._embed_images(description))
        else:
            found, images = await self._texts.embed(texts), ()
        made = {
            TextPart: ((embedding.vector, embedding.model) for embedding in found.embeddings),
            ImagePart: iter(images),
        }
        pairs = [next(made[type(part)]) for part in description if isinstance(part, TextPart | ImagePart)]
        truncated = any(embedding.truncated for embedding in found.embeddings)
        embedded = Embedded(tuple(vector for vector, _ in pairs), tuple(model for _, model in pairs), truncated)
        return embedded, found.remembered

    async def _embed_images(self, description: Description) -> Sequence[tuple[Vector, str]]:
        """With the model that made them."""
        places = [place for place, part in enumerate(description) if isinstance(part, ImagePart)]
        try:
            made = await self._embedder.embed_images(
                [part.image for part in description if isinstance(part, ImagePart)]
            )
        except InvalidInputError as error:
            raise _renamed(error, "images", [f"parts[{place}].image" for place in places]) from error
        return [(vector, made.model) for vector in made.matrix]


async def recommended(examples: Mapping[str, StoredPart], ask: Callable[[Query], Awaitable[T]]) -> T:
    """What the store answers to examples, whose names its errors get."""
    try:
        return await ask(tuple(examples.values()))
    except VideosearchError as error:
        raise _renamed(error, "parts", list(examples)) from error


def _renamed(error: VideosearchError, listed: str, names: Sequence[str]) -> VideosearchError:
    """A peer's error about one of a list that it was given, by what the caller calls that one."""
    renamed = copy(error)
    renamed.args = (re.sub(rf"^{listed}\[(\d+)\]", lambda place: names[int(place[1])], str(error)),)
    return renamed


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """At the same time; when one fails, the other is cancelled."""
    try:
        async with asyncio.TaskGroup() as tasks:
            one, other = tasks.create_task(first), tasks.create_task(second)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return one.result(), other.result()
