"""Cursors of a search: they come back whole to the description that they belong to, and to no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import seals, vectors
from services.common.errors import InvalidInputError
from services.common.ranking import EmbeddingPart, ImagePart, MomentPart, ScenePart, TextPart, VideoPart
from services.search import cursors
from services.search.cursors import Embedded
from tests.strategies import counts, key, lengths, text, video_ids

weights = st.floats(allow_nan=False, allow_infinity=False).filter(bool)
parts = st.one_of(
    st.builds(TextPart, text, weights),
    st.builds(ImagePart, st.binary(min_size=1, max_size=20), weights),
    st.builds(ScenePart, video_ids, counts, weights),
    st.builds(MomentPart, video_ids, lengths, weights),
    st.builds(VideoPart, video_ids, weights),
)
descriptions = st.lists(parts, min_size=1, max_size=5).map(tuple)
DESCRIPTION = (TextPart("rain"), ImagePart(b"snow"), VideoPart("v"))


def embedded_of(description, seed=0, truncated=False) -> Embedded:
    """With random vectors of 7 components."""
    count = sum(isinstance(part, TextPart | ImagePart) for part in description)
    made = vectors.normalize(np.random.default_rng(seed).standard_normal((count, 7)))
    return Embedded(tuple(made), tuple(f"model-{n}" for n in range(count)), truncated)


@given(descriptions, key, st.integers(0, 99), st.booleans())
def test_a_cursor_comes_back_whole(description, of_store, seed, truncated):
    embedded = embedded_of(description, seed, truncated)
    cursor = cursors.encode(of_store, embedded, description)
    opened, back = cursors.decode(cursor, description)
    assert (opened, back.models, back.truncated) == (of_store, embedded.models, truncated)
    assert [vector.tobytes() for vector in back.vectors] == [vector.tobytes() for vector in embedded.vectors]


def test_the_query_has_the_parts_in_their_order_with_their_weights():
    description = (VideoPart("v", -1), ImagePart(b"snow", 3), TextPart("rain", -2), ScenePart("w", 4, 0.5))
    embedded = embedded_of(description)
    query = embedded.query(description)
    assert (query[0], query[3]) == (description[0], description[3])
    made = [part for part in query if isinstance(part, EmbeddingPart)]
    assert [(part.model, part.weight) for part in made] == [("model-0", 3), ("model-1", -2)]
    assert [part.vector.tolist() for part in made] == [vector.tolist() for vector in embedded.vectors]


def test_at_the_end_of_the_ranking_there_is_no_cursor():
    assert cursors.encode("", embedded_of(DESCRIPTION), DESCRIPTION) == ""


@given(descriptions, descriptions)
def test_a_cursor_of_another_description_is_refused(description, other):
    cursor = cursors.encode("of the store", embedded_of(description), description)
    if description != other:
        with pytest.raises(InvalidInputError, match="is none that a search for this has returned"):
            cursors.decode(cursor, other)


@pytest.mark.parametrize(
    "other",
    [
        (TextPart("rain", 2), *DESCRIPTION[1:]),
        (TextPart("hail"), *DESCRIPTION[1:]),
        (DESCRIPTION[0], ImagePart(b"snow."), DESCRIPTION[2]),
        (*DESCRIPTION[:2], VideoPart("w")),
        (DESCRIPTION[1], DESCRIPTION[0], DESCRIPTION[2]),
        DESCRIPTION[:2],
    ],
)
def test_all_of_the_description_counts(other):
    cursor = cursors.encode("of the store", embedded_of(DESCRIPTION), DESCRIPTION)
    with pytest.raises(InvalidInputError, match="bring it back with the same text or parts, or begin without a cursor"):
        cursors.decode(cursor, other)


@given(st.text(min_size=1, max_size=100))
def test_any_other_text_is_refused(cursor):
    with pytest.raises(InvalidInputError, match="begin without a cursor"):
        cursors.decode(cursor, DESCRIPTION)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'["of the store", [], false]\n',
        b'["of the store", 5, false]\n',
        b'["of the store", ["a", "b", "c"], false]\n',
        b'["of the store", ["a", "b"], "yes"]\n',
        b'["", ["a", "b"], false]\n',
        b'["\\ud800", ["a", "b"], false]\n',
    ],
)
def test_one_that_somebody_else_has_sealed_is_refused(content):
    with pytest.raises(InvalidInputError, match="begin without a cursor"):
        cursors.decode(seals.sealed(content, cursors._digest(DESCRIPTION)), DESCRIPTION)


def test_a_vector_that_is_no_embedding_is_refused():
    broken = Embedded((np.ones(7, np.float32),), ("model",))
    cursor = cursors.encode("of the store", broken, DESCRIPTION[:1])
    with pytest.raises(InvalidInputError, match="an embedding has length 1"):
        cursors.decode(cursor, DESCRIPTION[:1])


def test_an_image_takes_no_room_in_a_cursor():
    description = (ImagePart(bytes(100_000)),)
    assert len(cursors.encode("of the store", embedded_of(description), description)) < 300


def test_a_cursor_of_the_store_is_none_of_a_search():
    with pytest.raises(InvalidInputError):
        cursors.decode(seals.sealed(b"[]", seals.hashed(b"")), DESCRIPTION)
