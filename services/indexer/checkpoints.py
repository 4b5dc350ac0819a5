"""Scenes that a job has embedded, kept for its next attempt."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Row

from services.common.media import Sample, Scene, Segment
from services.indexer.database import CHECKPOINTS, JOBS


@dataclass(frozen=True, slots=True)
class Basis:
    """What scenes are made from; where it has changed, those that were kept are of no use."""

    content_sha256: str
    model: str
    pictures: str = ""
    """ImageRule.basis."""


@dataclass(frozen=True, slots=True)
class Kept:
    scenes: list[Scene]
    """From the first one on, without a gap."""
    decode_errors: int
    """Up to the end of the last one."""


def keep(connection: Connection, job_id: str, basis: Basis, kept: Kept) -> None:
    """Keep scenes that follow those that are kept already."""
    same = {"job_id": job_id, **asdict(basis)}
    rows = [{**same, "decode_errors": kept.decode_errors, **_values(scene)} for scene in kept.scenes]
    connection.execute(CHECKPOINTS.insert(), rows)


def kept_of(connection: Connection, job_id: str, basis: Basis) -> Kept:
    """What is kept of a job; what was made from something else is dropped."""
    other = sql.or_(*(CHECKPOINTS.c[name] != value for name, value in asdict(basis).items()))
    connection.execute(CHECKPOINTS.delete().where(CHECKPOINTS.c.job_id == job_id, other))
    query = CHECKPOINTS.select().where(CHECKPOINTS.c.job_id == job_id).order_by(CHECKPOINTS.c.ordinal)
    kept, decode_errors = [], 0
    for row in connection.execute(query):
        kept.append(_scene(row))
        decode_errors = row.decode_errors
    return Kept(kept, decode_errors)


def drop(connection: Connection, job_id: str) -> None:
    connection.execute(CHECKPOINTS.delete().where(CHECKPOINTS.c.job_id == job_id))


def drop_orphans(connection: Connection) -> None:
    """Drop what was kept of jobs that are no more."""
    connection.execute(CHECKPOINTS.delete().where(CHECKPOINTS.c.job_id.not_in(sql.select(JOBS.c.job_id))))


def _values(scene: Scene) -> dict[str, Any]:
    return {
        "ordinal": scene.ordinal,
        "start_ns": scene.segment.start_ns,
        "end_ns": scene.segment.end_ns,
        "offsets_ns": np.array([sample.offset_ns for sample in scene.samples], "<i8").tobytes(),
        "vectors": np.stack([sample.vector for sample in scene.samples]).astype("<f4").tobytes(),
        "images": _joined([sample.image for sample in scene.samples]),
    }


def _scene(row: Row[Any]) -> Scene:
    offsets_ns = np.frombuffer(row.offsets_ns, "<i8").tolist()
    vectors = np.frombuffer(row.vectors, "<f4").astype(np.float32, copy=False).reshape(len(offsets_ns), -1)
    images = _parted(row.images, len(offsets_ns)) if row.images else [b""] * len(offsets_ns)
    return Scene(row.ordinal, Segment(row.start_ns, row.end_ns), tuple(map(Sample, offsets_ns, vectors, images)))


def _joined(images: Sequence[bytes]) -> bytes | None:
    if not any(images):
        return None
    return b"".join((np.array([len(image) for image in images], "<i8").tobytes(), *images))


def _parted(data: bytes, count: int) -> list[bytes]:
    sizes = np.frombuffer(data, "<i8", count)
    ends = sizes.nbytes + np.cumsum(sizes)
    return [data[end - size : end] for end, size in zip(ends, sizes, strict=True)]
