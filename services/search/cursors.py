"""Where a search goes on: the place in the store's ranking, together with the query as it was embedded.

The store knows its place only with the very same vectors, and an embedder may answer slightly others at another time,
in another batch or from another replica. So they travel with the cursor, and any replica of this service can go on.
"""

import json
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from services.common import seals, vectors
from services.common.errors import InvalidInputError
from services.common.media import Vector
from services.common.ranking import Description, EmbeddingPart, ImagePart, Query, TextPart

HEAD = TypeAdapter(tuple[str, tuple[str, ...], bool])
"""The store's cursor, the models and whether a text was too long, as they are sealed in JSON, before the vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The texts and images of a description, in the order of its parts."""

    vectors: tuple[Vector, ...]
    models: tuple[str, ...]
    """Fingerprints of what made them, one each."""
    truncated: bool = False
    """Whether a text was longer than the model reads."""

    def query(self, description: Description) -> Query:
        made = zip(self.vectors, self.models, strict=True)
        return tuple(
            EmbeddingPart(*next(made), part.weight) if isinstance(part, TextPart | ImagePart) else part
            for part in description
        )


def encode(of_store: str, embedded: Embedded, description: Description) -> str:
    """Empty, as the store's cursor, at the end of the ranking."""
    if not of_store:
        return ""
    head = json.dumps([of_store, embedded.models, embedded.truncated]).encode()
    return seals.sealed(b"\n".join((head, b"".join(map(vectors.to_bytes, embedded.vectors)))), _digest(description))


def decode(cursor: str, description: Description) -> tuple[str, Embedded]:
    """The store's cursor and what was embedded; InvalidInputError unless `encode` made it with that description."""
    head, _, data = (seals.opened(cursor, _digest(description)) or b"").partition(b"\n")
    try:
        of_store, models, truncated = HEAD.validate_json(head, strict=True)
    except ValidationError:
        raise _none_of_ours(cursor) from None
    if not of_store or len(models) != sum(isinstance(part, TextPart | ImagePart) for part in description):
        raise _none_of_ours(cursor)
    size = len(data) // max(len(models), 1)
    made = (vectors.from_bytes(data[place * size : (place + 1) * size]) for place in range(len(models)))
    return of_store, Embedded(tuple(made), models, truncated)


def _none_of_ours(cursor: str) -> InvalidInputError:
    return InvalidInputError(
        f"cursor {cursor[:100]!r} is none that a search for this has returned: bring it back with the same text or"
        " parts, or begin without a cursor"
    )


def _digest(description: Description) -> bytes:
    """Of an image its own digest stands for it."""
    parts = (
        replace(part, image=seals.hashed(part.image)) if isinstance(part, ImagePart) else part for part in description
    )
    return seals.hashed(repr(tuple(parts)).encode())
