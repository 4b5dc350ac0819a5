"""Metadata as options say it."""

from collections.abc import Sequence

from services.common.errors import InvalidInputError


def metadata_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """What `--meta key=value --meta ...` says."""
    metadata = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise InvalidInputError(f"--meta {pair}: write it as KEY=VALUE")
        metadata[key] = value
    return metadata
