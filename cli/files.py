"""Files that a command writes as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.errors import PreconditionError


@contextmanager
def written_whole(file: Path, *, replace: bool = True) -> Iterator[Path]:
    """A name to write to, which becomes `file` at the end and is gone if that fails.

    A link stays, and what it points to is replaced. PreconditionError if the file cannot be written, or is there and
    may not be replaced.
    """
    try:
        _check(file, replace=replace)
        target = Path(os.path.realpath(file))
        part = target.with_name(target.name + ".part")
        try:
            yield part
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise PreconditionError(f"{file} cannot be written: {error.strerror}") from None


def _check(file: Path, *, replace: bool) -> None:
    if file.is_dir():
        raise PreconditionError(f"{file} is a folder: name a file")
    if file.exists() and not file.is_file():
        raise PreconditionError(f"{file} is a device or a pipe: name a file")
    if file.exists() and not replace:
        raise PreconditionError(f"{file} exists: name another file, or add --force")
