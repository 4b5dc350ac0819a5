"""Queries: what scenes and videos are compared with."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from services.common import vectors
from services.common.convert.media import embedding_to, video_id_from
from services.common.convert.values import duration_from, duration_to, length_from
from services.common.errors import InvalidInputError
from services.common.media import Vector
from services.common.ranking import (
    Description,
    EmbeddingPart,
    ImagePart,
    MomentPart,
    Query,
    ScenePart,
    StoredPart,
    TextPart,
    VideoPart,
)
from videosearch.v1 import media_pb2, search_pb2, store_pb2

MAX_PARTS = 100
MAX_TEXT_LENGTH = 10_000

P = TypeVar("P", media_pb2.QueryPart, search_pb2.SearchPart)
T = TypeVar("T")

Describing: TypeAlias = (
    search_pb2.SearchVideosRequest | search_pb2.SearchScenesRequest | search_pb2.SearchServiceScoreTimelineRequest
)
NamingPart: TypeAlias = media_pb2.QueryPart | search_pb2.SearchPart | search_pb2.Example
"""What may name a stored scene, moment or video."""


def query_from(request: store_pb2.FindScenesRequest | store_pb2.FindVideosRequest) -> Query:
    if not request.HasField("query"):
        return parts_from(request.parts)
    if request.parts:
        raise InvalidInputError(
            "query and parts are both set: use parts for more than one embedding, and then only them"
        )
    return (EmbeddingPart(_vector_from(request.query, "query"), request.query.model),)


def parts_from(parts: Sequence[media_pb2.QueryPart]) -> Query:
    return _each_from(parts, _part_from)


def parts_to(query: Query) -> list[media_pb2.QueryPart]:
    return [_part_to(part) for part in query]


def description_from(request: Describing) -> Description:
    """What is asked for in words, or else in parts."""
    if not request.parts:
        return (TextPart(_text_from(request.text, "text")),)
    if request.text:
        raise InvalidInputError("text and parts are both set: make the text one of the parts")
    return _each_from(request.parts, _description_part_from)


def description_to(description: Description) -> list[search_pb2.SearchPart]:
    return [_description_part_to(part) for part in description]


def example_from(example: search_pb2.Example, path: str, weight: float) -> StoredPart:
    """As a part of a query."""
    named = stored_part_from(example, path, weight)
    if named is None:
        raise InvalidInputError(f"{path} says nothing: set one of video_id, scene, moment")
    return named


def example_to(part: StoredPart) -> search_pb2.Example:
    """All but the weight."""
    return search_pb2.Example(**_naming(part))


def stored_part_from(part: NamingPart, path: str, weight: float) -> StoredPart | None:
    """None if the part names nothing stored."""
    match part.WhichOneof("content"):
        case "scene":
            return ScenePart(video_id_from(part.scene.video_id, f"{path}.scene.video_id"), part.scene.ordinal, weight)
        case "moment":
            video_id = video_id_from(part.moment.video_id, f"{path}.moment.video_id")
            return MomentPart(video_id, duration_from(part.moment.offset, f"{path}.moment.offset"), weight)
        case "video_id":
            return VideoPart(video_id_from(part.video_id, f"{path}.video_id"), weight)
    return None


def _each_from(parts: Sequence[P], part_from: Callable[[P, str, float], T]) -> tuple[T, ...]:
    length_from(len(parts), 1, MAX_PARTS, "parts")
    return tuple(
        part_from(part, f"parts[{place}]", _weight_from(part, f"parts[{place}].weight"))
        for place, part in enumerate(parts)
    )


def _weight_from(part: media_pb2.QueryPart | search_pb2.SearchPart, path: str) -> float:
    weight = part.weight if part.HasField("weight") else 1.0
    if not math.isfinite(weight) or not weight:
        raise InvalidInputError(f"{path} is {weight}; it must be finite and not 0")
    return weight


def _part_from(part: media_pb2.QueryPart, path: str, weight: float) -> EmbeddingPart | StoredPart:
    if part.HasField("embedding"):
        return EmbeddingPart(_vector_from(part.embedding, f"{path}.embedding"), part.embedding.model, weight)
    stored = stored_part_from(part, path, weight)
    if stored is None:
        raise InvalidInputError(f"{path} says nothing: set one of embedding, scene, moment, video_id")
    return stored


def _part_to(part: EmbeddingPart | StoredPart) -> media_pb2.QueryPart:
    if isinstance(part, EmbeddingPart):
        return media_pb2.QueryPart(embedding=embedding_to(part.vector, part.model), weight=part.weight)
    return media_pb2.QueryPart(**_naming(part), weight=part.weight)


def _description_part_from(part: search_pb2.SearchPart, path: str, weight: float) -> TextPart | ImagePart | StoredPart:
    match part.WhichOneof("content"):
        case "text":
            return TextPart(_text_from(part.text, f"{path}.text"), weight)
        case "image" if not part.image:
            raise InvalidInputError(f"{path}.image is empty: give the bytes of a JPEG, PNG or WebP file")
        case "image":
            return ImagePart(part.image, weight)
    stored = stored_part_from(part, path, weight)
    if stored is None:
        raise InvalidInputError(f"{path} says nothing: set one of text, image, scene, moment, video_id")
    return stored


def _description_part_to(part: TextPart | ImagePart | StoredPart) -> search_pb2.SearchPart:
    match part:
        case TextPart(text, weight):
            return search_pb2.SearchPart(text=text, weight=weight)
        case ImagePart(image, weight):
            return search_pb2.SearchPart(image=image, weight=weight)
        case _:
            return search_pb2.SearchPart(**_naming(part), weight=part.weight)


def _naming(part: StoredPart) -> dict[str, Any]:
    """The field that says what a part names."""
    match part:
        case ScenePart(video_id, ordinal):
            return {"scene": media_pb2.SceneReference(video_id=video_id, ordinal=ordinal)}
        case MomentPart(video_id, offset_ns):
            return {"moment": media_pb2.MomentReference(video_id=video_id, offset=duration_to(offset_ns))}
        case VideoPart(video_id):
            return {"video_id": video_id}


def _text_from(text: str, path: str) -> str:
    """Without the space around it."""
    text = text.strip()
    if not text:
        raise InvalidInputError(f"{path} is empty: describe in words what to find")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidInputError(f"{path} has {len(text)} characters: shorten it to {MAX_TEXT_LENGTH} or fewer")
    return text


def _vector_from(embedding: media_pb2.Embedding, path: str) -> Vector:
    if not embedding.model:
        raise InvalidInputError(f"{path}.model is empty: give the fingerprint of the model that made the embedding")
    try:
        return vectors.from_bytes(embedding.vector)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error
