"""Which records a database holds, by the number of their schema, and how an older one becomes the present one."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import cast

import plyvel

from services.common.errors import DataLossError, StartupError
from services.store.keys import META
from services.store.records import Contents, encode_contents

SCHEMA = b"2"

SCHEMA_KEYS = (META + b"schema", b"schema")
CONTENTS_KEYS = (META + b"contents", b"contents")
CHANGES_KEYS = (META + b"changes", b"changes")
"""What nothing can be read without is kept twice, far apart in the order of keys."""


def prepare(db: "plyvel.DB") -> None:
    """Make a new or an older database one of the present schema; StartupError if it is of another.

    DataLossError if it is of none.
    """
    schema = get(db, SCHEMA_KEYS)
    if schema is None:
        _begin(db)
    elif schema in MIGRATIONS:
        MIGRATIONS[schema](db)
    elif schema != SCHEMA:
        raise StartupError(
            f"it has schema {schema.decode(errors='replace')}, and this store reads schema {SCHEMA.decode()}: run the"
            " version that wrote it, or set an empty folder and index the videos again"
        )


def _begin(db: "plyvel.DB") -> None:
    if next(db.iterator(include_value=False), None) is not None:
        raise DataLossError("it has records and no schema, so they are damaged, or no store's")
    with db.write_batch(transaction=True, sync=True) as batch:
        put(batch, SCHEMA_KEYS, SCHEMA)


def get(db: "plyvel.DB", copies: tuple[bytes, bytes]) -> bytes | None:
    """The first copy that can be read and is there; plyvel.Error if neither can be read."""
    first, second = copies
    with contextlib.suppress(plyvel.CorruptionError):
        data: bytes | None = db.get(first, verify_checksums=True)
        if data is not None:
            return data
    return cast(bytes | None, db.get(second, verify_checksums=True))


def put(batch: "plyvel.WriteBatch", copies: tuple[bytes, bytes], data: bytes) -> None:
    for key in copies:
        batch.put(key, data)


def of_store(contents: bytes, changes: int) -> Iterator[tuple[bytes, bytes]]:
    """The records that are of no video."""
    for copies, data in ((SCHEMA_KEYS, SCHEMA), (CONTENTS_KEYS, contents), (CHANGES_KEYS, b"%d" % changes)):
        for key in copies:
            yield key, data


def _from_1(db: "plyvel.DB") -> None:
    """Schema 2 has images, generations of embeddings, a count of changes, and second copies: all may be missing."""
    contents = db.get(CONTENTS_KEYS[0], verify_checksums=True)
    with db.write_batch(transaction=True, sync=True) as batch:
        if contents is not None:
            put(batch, CONTENTS_KEYS, encode_contents(Contents(**json.loads(contents))))
        put(batch, SCHEMA_KEYS, SCHEMA)


MIGRATIONS: dict[bytes | None, Callable[["plyvel.DB"], None]] = {b"1": _from_1}
"""By the schema that each starts from; each ends with the present one, in one synced batch."""
