"""Queries, descriptions and examples on the wire: what goes out comes back, and what is wrong is refused."""

import math

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from services.common import convert, vectors
from services.common.errors import InvalidInputError
from services.common.ranking import EmbeddingPart, ImagePart, MomentPart, ScenePart, TextPart, VideoPart
from tests.strategies import counts, lengths, text, video_ids
from videosearch.v1 import media_pb2, search_pb2, store_pb2

weights = st.floats(allow_nan=False, allow_infinity=False).filter(bool)
stored = st.one_of(
    st.builds(ScenePart, video_ids, counts, weights),
    st.builds(MomentPart, video_ids, lengths, weights),
    st.builds(VideoPart, video_ids, weights),
)
said = text.map(str.strip).filter(bool)
described = st.one_of(
    stored, st.builds(TextPart, said, weights), st.builds(ImagePart, st.binary(min_size=1, max_size=20), weights)
)
UNIT = vectors.normalize([3.0, 4.0])
EMBEDDING = convert.embedding_to(UNIT, "model")
DESCRIBING = [
    search_pb2.SearchVideosRequest,
    search_pb2.SearchScenesRequest,
    search_pb2.SearchServiceScoreTimelineRequest,
]


def a_part(**fields):
    return media_pb2.QueryPart(**fields)


def asked(**fields):
    return search_pb2.SearchPart(**fields)


@given(st.lists(stored, min_size=1, max_size=100))
def test_parts_that_name_what_is_stored_come_back_whole(parts):
    assert convert.parts_from(convert.parts_to(tuple(parts))) == tuple(parts)


@given(weights)
def test_an_embedding_comes_back_with_its_model_and_its_weight(weight):
    (part,) = convert.parts_from(convert.parts_to((EmbeddingPart(UNIT, "model", weight),)))
    assert isinstance(part, EmbeddingPart)
    assert (part.vector.tolist(), part.model, part.weight) == (UNIT.tolist(), "model", weight)


@given(st.lists(described, min_size=1, max_size=100))
def test_a_description_comes_back_whole(parts):
    message = search_pb2.SearchScenesRequest(parts=convert.description_to(tuple(parts)))
    assert convert.description_from(message) == tuple(parts)


@given(stored)
def test_an_example_comes_back_with_the_weight_that_it_is_given(part):
    assert convert.example_from(convert.example_to(part), "liked[0]", part.weight) == part


def test_a_part_without_a_weight_counts_as_1():
    parts = [a_part(video_id="v"), a_part(embedding=EMBEDDING)]
    assert [part.weight for part in convert.parts_from(parts)] == [1.0, 1.0]
    message = search_pb2.SearchScenesRequest(parts=[asked(text="rain")])
    assert convert.description_from(message) == (TextPart("rain", 1.0),)


def test_the_query_of_one_embedding_is_one_part():
    (part,) = convert.query_from(store_pb2.FindScenesRequest(query=EMBEDDING))
    assert isinstance(part, EmbeddingPart)
    assert (part.vector.tolist(), part.model, part.weight) == (UNIT.tolist(), "model", 1.0)


@pytest.mark.parametrize("request_type", DESCRIBING)
def test_a_description_in_words_is_one_part_without_the_space_around_it(request_type):
    assert convert.description_from(request_type(text=" rain\n")) == (TextPart("rain"),)


@pytest.mark.parametrize("request_type", DESCRIBING)
def test_a_request_has_a_text_or_parts(request_type):
    with pytest.raises(InvalidInputError, match="text is empty: describe in words what to find"):
        convert.description_from(request_type())
    with pytest.raises(InvalidInputError, match="text and parts are both set: make the text one of the parts"):
        convert.description_from(request_type(text="rain", parts=[asked(text="rain")]))


@pytest.mark.parametrize("request_type", [store_pb2.FindScenesRequest, store_pb2.FindVideosRequest])
def test_a_request_has_a_query_or_parts(request_type):
    with pytest.raises(InvalidInputError, match="parts has 0 elements"):
        convert.query_from(request_type())
    with pytest.raises(InvalidInputError, match="query and parts are both set"):
        convert.query_from(request_type(query=EMBEDDING, parts=[a_part(video_id="v")]))


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([], "parts has 0 elements; it must have 1 to 100"),
        ([a_part(video_id="v")] * 101, "parts has 101 elements; it must have 1 to 100"),
        ([a_part(video_id="v"), a_part()], r"parts\[1\] says nothing: set one of embedding, scene, moment, video_id"),
        ([a_part(video_id="v", weight=0)], r"parts\[0\].weight is 0.0; it must be finite and not 0"),
        ([a_part(video_id="v", weight=math.nan)], r"parts\[0\].weight is nan"),
        ([a_part(video_id="v", weight=-math.inf)], r"parts\[0\].weight is -inf"),
        ([a_part(video_id="a b")], r"parts\[0\].video_id 'a b' must be 1 to 128 characters"),
        ([a_part(scene=media_pb2.SceneReference())], r"parts\[0\].scene.video_id ''"),
        ([a_part(moment=media_pb2.MomentReference())], r"parts\[0\].moment.video_id ''"),
        (
            [a_part(moment=media_pb2.MomentReference(video_id="v", offset=Duration(seconds=-1)))],
            r"parts\[0\].moment.offset must be 0 or more",
        ),
        ([a_part(embedding=media_pb2.Embedding(vector=EMBEDDING.vector))], r"parts\[0\].embedding.model is empty"),
        ([a_part(embedding=media_pb2.Embedding(model="m", vector=b"123"))], r"parts\[0\].embedding: a vector is 4"),
        (
            [a_part(embedding=media_pb2.Embedding(model="m", vector=np.float32([2]).tobytes()))],
            r"parts\[0\].embedding: .* this vector's is 2: normalize it",
        ),
    ],
)
def test_bad_parts_of_a_query_are_refused(parts, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        convert.parts_from(parts)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([asked(text="x")] * 101, "parts has 101 elements; it must have 1 to 100"),
        (
            [asked(text="x"), asked(weight=1)],
            r"parts\[1\] says nothing: set one of text, image, scene, moment, video_id",
        ),
        ([asked(text="x"), asked(text=" ")], r"parts\[1\].text is empty: describe in words what to find"),
        ([asked(text="x" * 10_001)], r"parts\[0\].text has 10001 characters: shorten it to 10000 or fewer"),
        ([asked(image=b"")], r"parts\[0\].image is empty: give the bytes of a JPEG, PNG or WebP file"),
        ([asked(text="x", weight=0)], r"parts\[0\].weight is 0.0; it must be finite and not 0"),
        ([asked(video_id="a b")], r"parts\[0\].video_id 'a b' must be 1 to 128 characters"),
        ([asked(scene=media_pb2.SceneReference())], r"parts\[0\].scene.video_id ''"),
        ([asked(moment=media_pb2.MomentReference())], r"parts\[0\].moment.video_id ''"),
    ],
)
def test_bad_parts_of_a_description_are_refused(parts, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        convert.description_from(search_pb2.SearchScenesRequest(parts=parts))


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        (search_pb2.Example(), r"liked\[2\] says nothing: set one of video_id, scene, moment"),
        (search_pb2.Example(video_id="a b"), r"liked\[2\].video_id 'a b' must be 1 to 128 characters"),
    ],
)
def test_a_bad_example_is_refused(example, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        convert.example_from(example, "liked[2]", 1.0)
