"""Metadata as options say it."""

from collections.abc import Sequence

from services.common.errors import InvalidInputError


def metadata_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """What `--meta key=value --meta ...` says."""
    metadata: dict[str, str] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise InvalidInputError(f"--meta {pair}: write it as KEY=VALUE")
        if key in metadata:
            raise InvalidInputError(f"--meta {pair}: {key} has a value already, {metadata[key]}")
        metadata[key] = value
    return metadata
