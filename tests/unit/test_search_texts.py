"""Embeddings of texts that are remembered."""

from collections.abc import Sequence

import pytest

from services.common.errors import OverloadedError
from services.common.media import TextEmbedding
from services.search.texts import REMEMBERED_S, Texts
from tests.standins import word_vector


class Embedder:
    """Notes the texts of each call."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.model = "words-1"
        self.failures: list[Exception] = []

    async def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        self.calls.append(list(texts))
        if self.failures:
            raise self.failures.pop()
        return [TextEmbedding(word_vector(text), self.model, truncated=False) for text in texts]


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def embedder():
    return Embedder()


async def test_a_text_is_embedded_once(embedder):
    texts = Texts(embedder, 10)
    first, second = await texts.embed(["rain"]), await texts.embed(["rain"])
    assert embedder.calls == [["rain"]]
    assert second.embeddings[0] is first.embeddings[0]
    assert (first.remembered, second.remembered) == (frozenset(), {"words-1"})


async def test_texts_come_in_their_order_and_only_new_ones_are_embedded_each_once(embedder):
    texts = Texts(embedder, 10)
    await texts.embed(["rain"])
    found = await texts.embed(["snow", "rain", "fog", "snow"])
    assert embedder.calls[1:] == [["snow", "fog"]]
    expected = [word_vector(text).tolist() for text in ("snow", "rain", "fog", "snow")]
    assert [embedding.vector.tolist() for embedding in found.embeddings] == expected


async def test_of_many_texts_those_used_of_late_are_remembered(embedder):
    texts = Texts(embedder, 2)
    for text in ("rain", "snow", "rain", "fog", "rain", "snow"):
        await texts.embed([text])
    assert embedder.calls == [["rain"], ["snow"], ["fog"], ["snow"]]


async def test_more_texts_at_once_than_are_remembered_are_all_embedded(embedder):
    found = await Texts(embedder, 2).embed(["rain", "snow", "fog"])
    assert len(found.embeddings) == 3


async def test_nothing_is_remembered_if_nothing_shall_be(embedder):
    texts = Texts(embedder, 0)
    for _ in range(2):
        await texts.embed(["rain"])
    assert embedder.calls == [["rain"]] * 2


async def test_a_text_is_embedded_anew_after_a_while(embedder):
    clock = Clock()
    texts = Texts(embedder, 10, clock)
    for clock.now_s in (0, REMEMBERED_S - 1, REMEMBERED_S + 1):
        await texts.embed(["rain"])
    assert embedder.calls == [["rain"]] * 2


async def test_what_one_model_made_is_forgotten_and_what_another_made_is_not(embedder):
    texts = Texts(embedder, 10)
    await texts.embed(["rain"])
    embedder.model = "words-2"
    await texts.embed(["snow"])
    assert (await texts.embed(["rain", "snow"])).remembered == {"words-1", "words-2"}
    texts.forget({"words-1"})
    assert (await texts.embed(["rain", "snow"])).remembered == {"words-2"}
    assert embedder.calls[2:] == [["rain"]]


async def test_a_failure_is_not_remembered(embedder):
    texts = Texts(embedder, 10)
    embedder.failures.append(OverloadedError("64 texts are waiting"))
    with pytest.raises(OverloadedError):
        await texts.embed(["rain"])
    assert len((await texts.embed(["rain"])).embeddings) == 1
