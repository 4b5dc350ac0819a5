"""`make docs` writes docs/settings.md from the settings' own docstrings; a test checks that it is up to date."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cli.settings import Services
from services.common.settings import CallerSettings, IdentitySettings, ServerSettings
from services.embedder.settings import EmbedderSettings
from services.indexer.settings import IndexerSettings
from services.search.settings import SearchSettings
from services.store.settings import StoreSettings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

SERVICES: dict[str, type[ServerSettings]] = {
    "embedder": EmbedderSettings,
    "store": StoreSettings,
    "indexer": IndexerSettings,
    "search": SearchSettings,
}

INTRODUCTION = """# Settings

Written by `make docs` from the settings in the code. All come from the environment. A service logs what it has read as
it starts, stops with the variable's name if a value is wrong, and warns of variables that only look like its own.
"""

CALLERS = "For the services that call others, and for the command line, which has the certificate and key above too."

HEADER = "| variable | default | meaning |\n| --- | --- | --- |"


def document() -> str:
    """The whole text of docs/settings.md."""
    return "\n".join([INTRODUCTION, *_sections(), ""])


def _sections() -> Iterator[str]:
    yield f"## All services\n\n{HEADER}"
    shared = [name for name, field in ServerSettings.model_fields.items() if field.validation_alias]
    for name in shared:
        yield _row(ServerSettings.variable(name), ServerSettings.model_fields[name])
    for service, settings in SERVICES.items():
        yield f"\n## {service.capitalize()}\n\n{HEADER}"
        for name, field in settings.model_fields.items():
            if name not in (*shared, *CallerSettings.model_fields) and not name.endswith("_address"):
                yield _row(settings.variable(name), field)
    yield f"\n## Calling services\n\n{CALLERS}\n\n{HEADER}"
    for name, field in Services.model_fields.items():
        if name not in IdentitySettings.model_fields:
            yield _row(f"VIDEOSEARCH_{name.upper()}", field)


def _row(variable: str, field: FieldInfo) -> str:
    value = field.default
    default = (
        ""
        if value in (None, "", (), SecretStr(""))
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )
    meaning = " ".join((field.description or "").split())
    return f"| `{variable}` | {default} | {meaning} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
