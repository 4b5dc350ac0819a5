"""What a service can be told by its environment. A setting is documented by its docstring: see docs/settings.md."""

import logging
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.clients.credentials import Credentials
from services.common.errors import StartupError
from services.common.logs import LogFormat
from services.common.tls import Identity

log = logging.getLogger(__name__)

EMBEDDER_PORT, STORE_PORT, INDEXER_PORT, SEARCH_PORT = 50051, 50052, 50053, 50054
EMBEDDER_METRICS_PORT, STORE_METRICS_PORT, INDEXER_METRICS_PORT, SEARCH_METRICS_PORT = 9051, 9052, 9053, 9054


class IdentitySettings(BaseSettings):
    """What a program shows of itself, to those whom it calls and to those who call it."""

    model_config = SettingsConfigDict(
        frozen=True, use_attribute_docstrings=True, populate_by_name=True, hide_input_in_errors=True
    )

    tls_certificate_file: Path | None = Field(None, validation_alias="VIDEOSEARCH_TLS_CERTIFICATE_FILE")
    """PEM file of the program's certificate, followed by those between it and the authority. With it a service serves
    TLS, and who calls one that asks for certificates shows it. All these files are read again as they change."""
    tls_key_file: Path | None = Field(None, validation_alias="VIDEOSEARCH_TLS_KEY_FILE")
    """PEM file of the certificate's key."""
    tokens_over_plaintext: bool = Field(False, validation_alias="VIDEOSEARCH_TOKENS_OVER_PLAINTEXT")
    """Let tokens travel to and from other machines without TLS: where something else encrypts, as a mesh does."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("VIDEOSEARCH_TLS_CERTIFICATE_FILE and VIDEOSEARCH_TLS_KEY_FILE are set together or not")
        return self

    @property
    def identity(self) -> Identity | None:
        if self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return Identity(self.tls_certificate_file, self.tls_key_file)

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable that sets a field."""
        alias = cls.model_fields[field].validation_alias
        return str(alias) if alias else f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    @classmethod
    def problem(cls, error: ValidationError) -> str:
        """What is wrong with which variable. Secret ones are never wrong here: any text will do for them."""
        first = error.errors()[0]
        if not first["loc"]:
            return str(first["ctx"]["error"])
        location = str(first["loc"][0])
        variable = location if location.startswith("VIDEOSEARCH_") else cls.variable(location)
        return f"setting {variable}={first['input']!r}: {first['msg']}"


class CallerSettings(IdentitySettings):
    """Of a program that calls services."""

    tls_ca_file: Path | None = Field(None, validation_alias="VIDEOSEARCH_TLS_CA_FILE")
    """PEM file of the authorities that are trusted, and no others. With it all calls to services go over TLS."""
    token: SecretStr = Field(SecretStr(""), validation_alias="VIDEOSEARCH_TOKEN")
    """Token shown to the services that are called."""
    token_file: Path | None = Field(None, validation_alias="VIDEOSEARCH_TOKEN_FILE")
    """File with that token, instead; read again when it changes."""

    @property
    def credentials(self) -> Credentials:
        token = self.token.get_secret_value()
        return Credentials(self.tls_ca_file, self.identity, token, self.token_file, self.tokens_over_plaintext)


class ServerSettings(IdentitySettings):
    """What all four services understand. A subclass sets the prefix of its own variables and where it listens."""

    listen: str
    """Address and port to serve on. Port 0 takes any free one."""
    metrics_listen: str = ""
    """Address and port to serve Prometheus metrics on, at `/metrics`, by HTTP. Port 0 takes any free one; empty means
    none."""
    max_calls: int = Field(1000, ge=0)
    """Calls that run at once; more are refused with RESOURCE_EXHAUSTED. 0 means no limit."""
    max_calls_per_caller: int = Field(0, ge=0)
    """As `MAX_CALLS`, of one caller: by the name of its token or certificate, or else its host. 0 means no limit."""
    max_calls_per_second_per_caller: float = Field(0.0, ge=0)
    """Calls that one caller may begin in a second. 0 means no limit."""
    tls_client_ca_file: Path | None = Field(None, validation_alias="VIDEOSEARCH_TLS_CLIENT_CA_FILE")
    """PEM file of authorities: only callers with a certificate of theirs are let in (mutual TLS)."""
    tokens_file: Path | None = Field(None, validation_alias="VIDEOSEARCH_TOKENS_FILE")
    """File of the tokens that are taken, a line each as `videosearch token` makes it, with the token's SHA-256 only.
    Where tokens are set, here or by environment, no call goes without one."""
    tokens: SecretStr = Field(SecretStr(""), validation_alias="VIDEOSEARCH_TOKENS")
    """The same by environment: `NAME:ROLE:TOKEN`, joined by `,`; roles are `read`, `write` and `admin`."""
    tracing: bool = Field(False, validation_alias="VIDEOSEARCH_TRACING")
    """Send traces (extra `tracing`) to where OpenTelemetry's variables say, such as `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    reflection: bool = Field(True, validation_alias="VIDEOSEARCH_REFLECTION")
    """Serve gRPC reflection, so that command lines such as grpcurl need no proto files."""
    grace_s: float = Field(10.0, ge=0, validation_alias="VIDEOSEARCH_GRACE_S")
    """Seconds that running calls may go on after SIGTERM."""
    log_format: LogFormat = Field("console", validation_alias="VIDEOSEARCH_LOG_FORMAT")
    """`console` for people, `json` for machines."""
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="VIDEOSEARCH_LOG_LEVEL")
    """Least level that is logged."""

    @classmethod
    def load(cls) -> Self:
        """Read the environment; StartupError names the variable that is wrong."""
        try:
            return cls()
        except ValidationError as error:
            raise StartupError(cls.problem(error)) from None

    def log_once(self) -> None:
        """Log what was set, and what looks like a setting of this service but is none (a misspelt one, mostly)."""
        log.info("settings", extra=self.model_dump())
        prefix = str(self.model_config.get("env_prefix", "")).upper()
        known = {self.variable(field) for field in type(self).model_fields} | {f"{prefix}ADDRESS"}
        for name in sorted(name for name in os.environ if name.startswith(prefix) and name not in known):
            log.warning("unknown setting", extra={"variable": name})


class PeerSettings(ServerSettings, CallerSettings):
    """Of a service that calls the embedder and the store."""

    embedder_address: str = Field(f"127.0.0.1:{EMBEDDER_PORT}", validation_alias="VIDEOSEARCH_EMBEDDER_ADDRESS")
    """Where the embedder is found. Of several behind one name: `dns:///embedder:50051`."""
    store_address: str = Field(f"127.0.0.1:{STORE_PORT}", validation_alias="VIDEOSEARCH_STORE_ADDRESS")
    """Where the store is found."""
