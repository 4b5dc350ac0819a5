"""The approximate index as a file beside the database: it spares the time to make it anew, and is never trusted.

FAISS's bytes; then a line of JSON; then its length and the SHA-256 of all before. What is not whole, or of another
version, model or dimension, counts as absent; a video counts only if the database has it as it was then.
"""

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from services.store.accelerated import Entry, Kept
from services.store.approximate import Approximate

log = logging.getLogger(__name__)

FILE_NAME = "vectors.ann"
VERSION = 1
LENGTH_BYTES, DIGEST_BYTES = 8, 32


def write(path: Path, kept: Kept) -> bool:
    """Whether it could be written. If not, the store goes on, and makes it anew at its next start."""
    partial = path.with_suffix(".partial")
    try:
        kept.approximate.write(partial)
        with partial.open("r+b") as file:
            digest = hashlib.file_digest(file, "sha256")
            table = _encoded(kept)
            digest.update(table)
            file.write(table + digest.digest())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError, MemoryError) as error:
        log.warning("approximate index not saved", extra={"path": str(path), "reason": str(error)})
        with contextlib.suppress(OSError):
            partial.unlink()
        return False
    return True


def read(path: Path, model: str, dimension: int) -> Kept | None:
    """What was written, if it is whole and of that model."""
    if not path.exists():
        return None
    try:
        return _whole(path, model, dimension)
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
        log.warning("approximate index left aside", extra={"path": str(path), "reason": str(error)})
        return None


def _whole(path: Path, model: str, dimension: int) -> Kept:
    table = _table(path)
    if (table["version"], table["model"]) != (VERSION, model):
        raise ValueError("it is of another version or model")
    entries = tuple(_entry(*fields) for fields in table["entries"])
    approximate = Approximate.read(path)
    if approximate.dimension != dimension or len(approximate) != table["samples"]:
        raise ValueError("its parts do not fit together")
    return Kept(approximate, model, table["trained_samples"], entries)


def _encoded(kept: Kept) -> bytes:
    table = {
        "version": VERSION,
        "model": kept.model,
        "samples": len(kept.approximate),
        "trained_samples": kept.trained_samples,
        "entries": [list(asdict(entry).values()) for entry in kept.entries],
    }
    data = json.dumps(table, default=datetime.isoformat).encode()
    return data + len(data).to_bytes(LENGTH_BYTES, "big")


def _table(path: Path) -> dict[str, Any]:
    """The JSON; ValueError if a byte of the file differs from what was written."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for _ in range(0, size - DIGEST_BYTES, 1 << 20):
            digest.update(file.read(min(1 << 20, size - DIGEST_BYTES - file.tell())))
        if digest.digest() != file.read():
            raise ValueError("it is damaged")
        file.seek(size - DIGEST_BYTES - LENGTH_BYTES)
        length = int.from_bytes(file.read(LENGTH_BYTES), "big")
        file.seek(size - DIGEST_BYTES - LENGTH_BYTES - length)
        table: dict[str, Any] = json.loads(file.read(length))
    return table


def _entry(video_id: str, index_time: str | None, scene_count: int) -> Entry:
    return Entry(video_id, datetime.fromisoformat(index_time) if index_time else None, scene_count)
