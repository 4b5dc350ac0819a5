"""The documentation of settings is that of the code."""

import pytest

from services.common.settings import ServerSettings
from tools.settings_table import DOCUMENT, SERVICES, document


def test_the_table_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == document(), "run `make docs`"


@pytest.mark.parametrize("settings", SERVICES.values(), ids=SERVICES)
def test_every_setting_has_a_meaning(settings: type[ServerSettings]) -> None:
    assert [name for name, field in settings.model_fields.items() if not field.description] == []
