"""Backups: all records of a store in one file, and a store from such a file.

The file is a line that names the format, then each record as two lengths (little-endian, four bytes each), its key and
its value, and at last the SHA-256 of all that.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import plyvel

from services.common.errors import DataLossError, InvalidInputError, PreconditionError
from services.store import files
from services.store.damage import reason_of

FORMAT = b"videosearch backup 1\n"

DIGEST_BYTES = 32
PIECE_BYTES = 1 << 20
BATCH_BYTES = 4 << 20
"""Of records written at once into a new database."""


def written(records: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The file, in pieces of a MiB at most, none of them empty."""
    digest, piece = hashlib.sha256(), bytearray(FORMAT)
    for key, value in records:
        piece += len(key).to_bytes(4, "little") + len(value).to_bytes(4, "little") + key + value
        while len(piece) >= PIECE_BYTES:
            full = bytes(piece[:PIECE_BYTES])
            del piece[:PIECE_BYTES]
            digest.update(full)
            yield full
    digest.update(piece)
    yield from filter(None, (bytes(piece), digest.digest()))


def restore(file: Path, folder: Path) -> None:
    """Make a store of a backup, in an empty or new folder: whole or not at all."""
    with file.open("rb") as backup:
        end = _check(backup, file)
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder):
            if files.of_database(folder):
                raise PreconditionError(f"{folder} holds a store already: name an empty or a new folder")
            write(folder / files.BUILDING, _records(backup, end))
            files.install(folder)


def write(folder: Path, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a new database, in place of what is in the folder; if that ends halfway, nothing of it is left."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with plyvel.DB(str(folder), create_if_missing=True) as db:
            batch, size = db.write_batch(), 0
            for key, value in records:
                batch.put(key, value)
                size += len(value)
                if size > BATCH_BYTES:
                    batch.write()
                    batch, size = db.write_batch(), 0
            batch.write()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, plyvel.Error):
            message = f"{folder.parent} cannot be written: is its disk full? ({reason_of(error)})"
            raise DataLossError(message) from error
        raise


def _check(backup: BinaryIO, file: Path) -> int:
    """Where the records end; the file is left at the first."""
    end = file.stat().st_size - DIGEST_BYTES
    if backup.read(len(FORMAT)) != FORMAT:
        raise InvalidInputError(f"{file} is no backup of a store, or one of another version")
    digest = hashlib.sha256(FORMAT)
    while backup.tell() < end:
        digest.update(backup.read(min(PIECE_BYTES, end - backup.tell())))
    if digest.digest() != backup.read():
        raise InvalidInputError(f"{file} is damaged or not complete: use another backup; nothing was restored")
    backup.seek(len(FORMAT))
    return end


def _records(backup: BinaryIO, end: int) -> Iterator[tuple[bytes, bytes]]:
    while backup.tell() < end:
        key_size, value_size = (int.from_bytes(backup.read(4), "little") for _ in range(2))
        yield backup.read(key_size), backup.read(value_size)
