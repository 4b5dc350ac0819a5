"""What a service can be told by its environment. A setting is documented by its docstring: see docs/settings.md."""

import logging
import os
from typing import Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.errors import StartupError
from services.common.logs import LogFormat

log = logging.getLogger(__name__)

EMBEDDER_PORT, STORE_PORT, INDEXER_PORT, SEARCH_PORT = 50051, 50052, 50053, 50054


class ServerSettings(BaseSettings):
    """What all four services understand. A subclass sets the prefix of its own variables and where it listens."""

    model_config = SettingsConfigDict(frozen=True, use_attribute_docstrings=True, populate_by_name=True)

    listen: str
    """Address and port to serve on. Port 0 takes any free one."""
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
            first = error.errors()[0]
            location = str(first["loc"][0])
            variable = location if location.startswith("VIDEOSEARCH_") else cls.variable(location)
            raise StartupError(f"setting {variable}={first['input']!r}: {first['msg']}") from None

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable that sets a field."""
        alias = cls.model_fields[field].validation_alias
        return str(alias) if alias else f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    def log_once(self) -> None:
        """Log what was set, and what looks like a setting of this service but is none (a misspelt one, mostly)."""
        log.info("settings", extra=self.model_dump())
        prefix = str(self.model_config.get("env_prefix", "")).upper()
        known = {self.variable(field) for field in type(self).model_fields} | {f"{prefix}ADDRESS"}
        for name in sorted(name for name in os.environ if name.startswith(prefix) and name not in known):
            log.warning("unknown setting", extra={"variable": name})


class PeerSettings(ServerSettings):
    """Of a service that calls the embedder and the store."""

    embedder_address: str = Field(f"127.0.0.1:{EMBEDDER_PORT}", validation_alias="VIDEOSEARCH_EMBEDDER_ADDRESS")
    """Where the embedder is found."""
    store_address: str = Field(f"127.0.0.1:{STORE_PORT}", validation_alias="VIDEOSEARCH_STORE_ADDRESS")
    """Where the store is found."""
