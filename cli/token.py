"""`videosearch token`: let somebody call the services."""

import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import output
from cli.files import written_whole
from services.common import access
from services.common.errors import InvalidInputError, PreconditionError
from services.common.methods import Role

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Whose it is, for logs and limits: letters, digits, and any of _.- .")
]
RoleName = Annotated[
    Literal["read", "write", "admin"],
    typer.Option("--role", help="read searches and looks; write indexes, changes and deletes too; admin may do all."),
]
File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Add the line to this file; only its owner may read a new one."),
]
Replace = Annotated[bool, typer.Option("--replace", help="With --file: take back the tokens that NAME had there.")]


def token(
    name: Name, role: RoleName, file: File = None, replace: Replace = False, as_json: output.AsJson = False
) -> None:
    """Make a token: print it, and the line by which the services know it, which does not tell it."""
    if replace and not file:
        raise InvalidInputError("--replace needs --file")
    made = access.new_token()
    try:
        line = access.line_of(access.Caller(name, Role[role.upper()]), made)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    if file:
        _add(line, file, f"{name}:" if replace else None)
    if as_json:
        output.print_json({"name": name, "role": role, "token": made, "line": line})
        return
    output.print_line(made)
    if not file:
        output.tell(f"The services know it by this line in the file that VIDEOSEARCH_TOKENS_FILE names:\n{line}")


def _add(line: str, file: Path, taken_back: str | None) -> None:
    """Add a line to a file, as a whole: services may read it at any time."""
    with written_whole(file) as part:
        part.touch(mode=0o600)
        before = _lines(file) if file.exists() else []
        if file.exists():
            shutil.copymode(file, part)
            os.chown(part, file.stat().st_uid, file.stat().st_gid)
        kept = [known for known in before if not (taken_back and known.strip().startswith(taken_back))]
        part.write_text("\n".join([*kept, line, ""]))


def _lines(file: Path) -> list[str]:
    """PreconditionError unless the services would take the file."""
    try:
        access.Tokens("", file)
    except ValueError as error:
        raise PreconditionError(f"{file} is no file of tokens: {error}") from None
    return file.read_text().splitlines()
