"""Where a ranking goes on: the place behind the last hit given, as a text that only the same request may bring back."""

import json
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, FiniteFloat, TypeAdapter, ValidationError

from services.common import seals
from services.common.errors import InvalidInputError
from services.common.media import Vector
from services.common.ranking import EmbeddingPart, Query, SceneRanking

CONTENT = TypeAdapter(tuple[FiniteFloat, str, int, FiniteFloat, AwareDatetime])
"""The fields of a Cursor, as they are sealed in JSON."""


@dataclass(frozen=True, slots=True)
class Cursor:
    score: float
    video_id: str
    ordinal: int
    """Of the last hit, as its score and video are; 0 in a ranking of videos."""
    best: float
    """The score of the ranking's first hit, which a relative cut-off goes by on all pages."""
    newest: datetime
    """The newest index_time in the store when the ranking began: what was put later does not count."""


def digest(vector: Vector, ranking: SceneRanking, query: Query = ()) -> bytes:
    """Equal for requests of one ranking: all but top_k, include_thumbnails and the cursor counts.

    Of the query count what it names and its vector, so that a ranking ends, instead of going on as another one, when a
    scene or video that the query names is put anew.
    """
    ranking = replace(ranking, top_k=1, include_thumbnails=False, cursor="")
    naming = [part for part in query if not isinstance(part, EmbeddingPart)]
    of = [vector.tobytes().hex(), naming, ranking]
    return seals.hashed(json.dumps(of, default=_plain, sort_keys=True).encode())


def encode(cursor: Cursor, of: bytes) -> str:
    content = json.dumps([cursor.score, cursor.video_id, cursor.ordinal, cursor.best, cursor.newest.isoformat()])
    return seals.sealed(content.encode(), of)


def decode(text: str, of: bytes) -> Cursor | None:
    """The inverse of `encode`, None for no text; InvalidInputError for one that it did not make with that digest."""
    if not text:
        return None
    try:
        return Cursor(*CONTENT.validate_json(seals.opened(text, of) or b"", strict=True))
    except ValidationError:
        raise InvalidInputError(
            f"cursor {text[:100]!r} is none that this request has returned: only top_k and include_thumbnails may"
            " differ, and a scene or video that the query names must not have been put anew; begin without a cursor"
        ) from None


def _plain(value: Any) -> Any:
    """What JSON knows, of what it does not; equal for equal values, in every process."""
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, datetime):
        return value.timestamp()
    if is_dataclass(value):
        return [type(value).__name__, {field.name: getattr(value, field.name) for field in fields(value)}]
    raise TypeError(f"{type(value).__name__} has no plain form")
