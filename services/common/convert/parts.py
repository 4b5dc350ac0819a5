"""Queries: what scenes and videos are compared with."""

import math
from collections.abc import Sequence
from typing import TypeAlias

from services.common import vectors
from services.common.convert.media import embedding_to, video_id_from
from services.common.convert.values import count_from
from services.common.errors import InvalidInputError
from services.common.media import Vector
from services.common.ranking import EmbeddingPart, Query, ScenePart, VideoPart
from videosearch.v1 import media_pb2, store_pb2

Part: TypeAlias = EmbeddingPart | ScenePart | VideoPart

MAX_PARTS = 100


def query_from(request: store_pb2.FindScenesRequest | store_pb2.FindVideosRequest) -> Query:
    if not request.HasField("query"):
        return parts_from(request.parts)
    if request.parts:
        raise InvalidInputError(
            "both query and parts are set: use parts for more than one embedding, and then only them"
        )
    return (EmbeddingPart(_vector_from(request.query, "query"), request.query.model),)


def parts_from(parts: Sequence[media_pb2.QueryPart]) -> Query:
    if not parts:
        raise InvalidInputError(f"there is no query: give 1 to {MAX_PARTS} parts")
    count_from(len(parts), 1, MAX_PARTS, "the number of parts")
    return tuple(_part_from(part, f"parts[{place}]") for place, part in enumerate(parts))


def parts_to(query: Query) -> list[media_pb2.QueryPart]:
    return [_part_to(part) for part in query]


def _part_from(part: media_pb2.QueryPart, path: str) -> Part:
    weight = part.weight if part.HasField("weight") else 1.0
    if not math.isfinite(weight) or not weight:
        raise InvalidInputError(f"{path}.weight is {weight}; it must be finite and not 0")
    match part.WhichOneof("content"):
        case "embedding":
            return EmbeddingPart(_vector_from(part.embedding, f"{path}.embedding"), part.embedding.model, weight)
        case "scene":
            video_id = video_id_from(part.scene.video_id, f"{path}.scene.video_id")
            return ScenePart(video_id, part.scene.ordinal, weight)
        case "video_id":
            return VideoPart(video_id_from(part.video_id, f"{path}.video_id"), weight)
        case None:
            raise InvalidInputError(f"{path} says nothing: set one of embedding, scene, video_id")


def _part_to(part: Part) -> media_pb2.QueryPart:
    match part:
        case EmbeddingPart(vector, model, weight):
            return media_pb2.QueryPart(embedding=embedding_to(vector, model), weight=weight)
        case ScenePart(video_id, ordinal, weight):
            scene = media_pb2.SceneReference(video_id=video_id, ordinal=ordinal)
            return media_pb2.QueryPart(scene=scene, weight=weight)
        case VideoPart(video_id, weight):
            return media_pb2.QueryPart(video_id=video_id, weight=weight)


def _vector_from(embedding: media_pb2.Embedding, path: str) -> Vector:
    if not embedding.model:
        raise InvalidInputError(f"{path}.model is empty: give the fingerprint of the model that made the embedding")
    try:
        return vectors.from_bytes(embedding.vector)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error
