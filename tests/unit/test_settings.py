import logging

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.errors import StartupError
from services.common.settings import PeerSettings


class SampleSettings(PeerSettings):
    model_config = SettingsConfigDict(env_prefix="VIDEOSEARCH_SAMPLE_")

    listen: str = "127.0.0.1:0"
    top: int = Field(3, ge=1)
    """How many."""


def test_defaults_hold_where_nothing_is_set():
    assert SampleSettings.load().top == 3


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("VIDEOSEARCH_SAMPLE_TOP", "7", "top", 7),
        ("VIDEOSEARCH_SAMPLE_LISTEN", "0.0.0.0:99", "listen", "0.0.0.0:99"),
        ("VIDEOSEARCH_EMBEDDER_ADDRESS", "embedder:5", "embedder_address", "embedder:5"),
        ("VIDEOSEARCH_GRACE_S", "2.5", "grace_s", 2.5),
        ("VIDEOSEARCH_REFLECTION", "false", "reflection", False),
        ("VIDEOSEARCH_LOG_FORMAT", "json", "log_format", "json"),
        ("VIDEOSEARCH_LOG_LEVEL", "debug", "log_level", "debug"),
    ],
)
def test_a_setting_is_read_from_its_variable(monkeypatch, variable, value, field, expected):
    monkeypatch.setenv(variable, value)
    assert getattr(SampleSettings.load(), field) == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIDEOSEARCH_SAMPLE_TOP", "0"),
        ("VIDEOSEARCH_SAMPLE_TOP", "many"),
        ("VIDEOSEARCH_GRACE_S", "-1"),
        ("VIDEOSEARCH_LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_stops_the_start_and_names_its_variable(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartupError, match=f"setting {variable}='{value}': "):
        SampleSettings.load()


def test_settings_do_not_change_after_the_start():
    with pytest.raises(ValueError, match="frozen"):
        SampleSettings.load().top = 4


def test_a_misspelt_variable_is_warned_about(monkeypatch, caplog):
    monkeypatch.setenv("VIDEOSEARCH_SAMPLE_TOPP", "7")
    with caplog.at_level(logging.WARNING):
        SampleSettings.load().log_once()
    assert [(record.message, record.variable) for record in caplog.records] == [
        ("unknown setting", "VIDEOSEARCH_SAMPLE_TOPP")
    ]


def test_variables_of_others_are_not_warned_about(monkeypatch, caplog):
    monkeypatch.setenv("VIDEOSEARCH_OTHER_TOP", "7")
    monkeypatch.setenv("VIDEOSEARCH_SAMPLE_ADDRESS", "host:1")  # where its callers find it
    with caplog.at_level(logging.WARNING):
        SampleSettings.load().log_once()
    assert not caplog.records


def test_what_was_set_is_logged_once(monkeypatch, caplog):
    monkeypatch.setenv("VIDEOSEARCH_SAMPLE_TOP", "7")
    with caplog.at_level(logging.INFO):
        SampleSettings.load().log_once()
    assert [(record.message, record.top) for record in caplog.records] == [("settings", 7)]
