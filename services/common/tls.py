"""TLS for both ends of a connection, from PEM files that may be replaced while it is used."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.common.watched import Watched


@dataclass(frozen=True, slots=True)
class Identity:
    """What a program shows of itself: its certificate, with those between it and the authority, and its key."""

    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes]:
        """Key and certificate; ValueError unless they belong together, as when only one has been replaced yet."""
        pair = self.key.read_bytes(), self.certificate.read_bytes()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password="")
        except ssl.SSLError as error:
            raise ValueError(f"{self.certificate} and {self.key} are no certificate and its key: {error}") from None
        return pair


def server_credentials(identity: Identity, client_ca: Path | None) -> grpc.ServerCredentials:
    """Of a server which, given `client_ca`, takes only callers that show a certificate of that authority.

    A connection is made with what the files hold then; those that there are go on. ValueError or OSError if the
    files are not there or wrong now.
    """
    files = (identity.certificate, identity.key, *([client_ca] if client_ca else []))

    def read() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([identity.read()], authorities(client_ca))

    watched = Watched(files, read)
    return grpc.dynamic_ssl_server_credentials(
        watched.value, lambda: watched.value, require_client_authentication=client_ca is not None
    )


def channel_credentials(ca: Path, identity: Identity | None) -> Watched[grpc.ChannelCredentials]:
    """Of a client that trusts the authorities in `ca` and no others, and that shows an identity if it has one."""
    files = (ca, *((identity.certificate, identity.key) if identity else ()))

    def read() -> grpc.ChannelCredentials:
        key, certificate = identity.read() if identity else (None, None)
        return grpc.ssl_channel_credentials(authorities(ca), key, certificate)

    return Watched(files, read)


def hint(failure: str, *, over_tls: bool) -> str:
    """What a client that could not connect may do about it, in parentheses, by what gRPC says; "" if that is unknown.

    A server tells nothing to those with whom it agrees on nothing: it ends the connection.
    """
    if "last error" not in failure:  # there was a connection
        return ""
    return next((f" ({text})" for tls, sign, text in _HINTS if tls == over_tls and sign in failure), "")


_ENDED = ("Socket closed", "Connection reset by peer", "Broken pipe")

_UNTRUSTED = ("unable to get local issuer", "self signed certificate", "certificate signature failure")

_HINTS = (
    *((False, sign, "does it want TLS? then set VIDEOSEARCH_TLS_CA_FILE") for sign in _ENDED),
    *(
        (
            True,
            sign,
            "does it want a certificate? then set VIDEOSEARCH_TLS_CERTIFICATE_FILE, and its key, of an "
            "authority that it trusts",
        )
        for sign in _ENDED
    ),
    (True, "WRONG_VERSION_NUMBER", "it does not serve TLS: unset VIDEOSEARCH_TLS_CA_FILE, or give it a certificate"),
    *((True, sign, "VIDEOSEARCH_TLS_CA_FILE does not have the authority of its certificate") for sign in _UNTRUSTED),
    (True, "Hostname Verification", "its certificate is for other names than this address"),
)


def authorities(file: Path | None) -> bytes | None:
    """The file's bytes; ValueError unless there is a certificate in it."""
    if file is None:
        return None
    content = file.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        raise ValueError(f"{file} has no certificates: {error}") from None
    return content
