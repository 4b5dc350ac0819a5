"""Who may call: bearer tokens, the callers that they stand for, and what those may do."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import ForbiddenError, UnauthenticatedError
from services.common.methods import METHODS, Role
from services.common.watched import Watched

TOKEN_BYTES = 32
"""Of randomness in a token: nobody guesses it, so its SHA-256 can be kept as it is. What slow hashes and salts protect
is passwords (https://datatracker.ietf.org/doc/html/rfc6750#section-5.2 asks of tokens that they cannot be guessed)."""

MIN_TOKEN_LENGTH = 32
"""Characters of a token."""

_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<role>read|write|admin):(?P<token>[!-~]+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    role: Role


ANYBODY = Caller("", Role.ADMIN)
"""Who calls a service that has no tokens."""


class Tokens:
    """The tokens that a service takes: of its environment, and of a file, which is read again when it changes."""

    def __init__(self, given: str, file: Path | None) -> None:
        """`given` holds `name:role:token`, joined by commas; the file, a line each, what `line_of` makes.

        ValueError or OSError if they cannot be read; the text says no token.
        """
        self._given = {_digest(_long(token)): caller for caller, token in _entries(given.split(","))}
        if given and not self._given:
            raise ValueError("there is no token, though there should be some: without any, everybody may call")
        self._file = None if file is None else Watched((file,), lambda: _read(file))

    def __bool__(self) -> bool:
        return bool(self._given) or self._file is not None

    def caller(self, authorization: str) -> Caller:
        """Whose token this header has; UnauthenticatedError if nobody's."""
        if not self:
            return ANYBODY
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("no token: send it as metadata, authorization: Bearer TOKEN")
        digest = _digest(token.strip())
        caller = self._given.get(digest) or (self._file and self._file.value.get(digest))
        if not caller:
            raise UnauthenticatedError("the token is not known: it is misspelt, or was taken back")
        return caller


def allow(caller: Caller, method: str) -> None:
    """ForbiddenError unless the caller's role may call the method; what is no RPC of ours (reflection) only tells."""
    needed = METHODS[method].role if method in METHODS else Role.READ
    if caller.role < needed:
        name, roles = method.rpartition("/")[2], (needed.name.lower(), caller.role.name.lower())
        raise ForbiddenError(f"{name} needs a token of the role {roles[0]}; that of {caller.name} is {roles[1]}")


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def line_of(caller: Caller, token: str) -> str:
    """A line for the file of tokens, from which the token cannot be had. ValueError if the name is none."""
    line = f"{caller.name}:{caller.role.name.lower()}:{_digest(token)}"
    if not _ENTRY.fullmatch(line):
        raise ValueError(f"{caller.name!r} is no name: take 1 to 64 letters (a to z), digits, and any of _.-")
    return line


def _read(file: Path) -> dict[str, Caller]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return {_hashed(digest): caller for caller, digest in _entries(line for line in lines if line[:1] != "#")}


def _entries(entries: Iterable[str]) -> Iterable[tuple[Caller, str]]:
    for number, entry in enumerate(entries, start=1):
        if not entry.strip():
            continue
        fields = _ENTRY.fullmatch(entry.strip())
        if fields is None:
            raise ValueError(f"token {number} is not of the form NAME:ROLE:TOKEN, with a role of read, write or admin")
        yield Caller(fields["name"], Role[fields["role"].upper()]), fields["token"]


def _long(token: str) -> str:
    if len(token) < MIN_TOKEN_LENGTH:
        raise ValueError(f"a token has at least {MIN_TOKEN_LENGTH} characters: make one with videosearch token")
    return token


def _hashed(digest: str) -> str:
    if not _SHA256.fullmatch(digest):
        raise ValueError("a line does not end in a SHA-256: make lines with videosearch token, which keep no token")
    return digest


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
