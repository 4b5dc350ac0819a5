"""What a client shows of itself, and whom it trusts."""

from dataclasses import dataclass, field
from pathlib import Path

import grpc

from services.common.addresses import is_local
from services.common.errors import PreconditionError
from services.common.tls import Identity, channel_credentials
from services.common.watched import Watched


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files may be replaced while they are used."""

    ca: Path | None = None
    """Authorities that are trusted; given, all connections are made over TLS."""
    identity: Identity | None = None
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    over_plaintext: bool = False
    """Whether the token may go over a network without TLS."""


class Shown:
    """Credentials as one client uses them. ValueError or OSError if their files are not there or wrong."""

    def __init__(self, credentials: Credentials, address: str) -> None:
        """PreconditionError if the token would be sent to `address` for everybody on the way to read."""
        self._tls = channel_credentials(credentials.ca, credentials.identity) if credentials.ca else None
        self._token = _clean(credentials.token, "VIDEOSEARCH_TOKEN") if credentials.token else ""
        self._token_file = _watched_token(credentials.token_file) if credentials.token_file else None
        has_token = bool(self._token or self._token_file)
        if has_token and not (credentials.ca or credentials.over_plaintext or is_local(address)):
            raise PreconditionError(
                f"the token is not sent to {address} without TLS: set VIDEOSEARCH_TLS_CA_FILE, or, if everybody on the "
                "way may read it, VIDEOSEARCH_TOKENS_OVER_PLAINTEXT=true"
            )

    @property
    def tls(self) -> grpc.ChannelCredentials | None:
        """Another object once the files have changed."""
        return self._tls.value if self._tls else None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._token_file.value if self._token_file else self._token
        return (("authorization", f"Bearer {token}"),) if token else ()


def _watched_token(file: Path) -> Watched[str]:
    return Watched((file,), lambda: _token_in(file))


def _token_in(file: Path) -> str:
    return _clean(file.read_text(), file)


def _clean(text: str, source: object) -> str:
    """A token that can go into a header. ValueError names where it is from, and does not have it."""
    token = text.strip()
    if not token:
        raise ValueError(f"{source} holds no token")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{source} holds more than a token")
    return token
