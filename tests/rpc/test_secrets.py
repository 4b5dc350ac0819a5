"""What is secret is in no log, no error and no output, whatever goes wrong."""

import hashlib
import io
import logging
import shutil
from dataclasses import replace

import pytest
from pydantic import SecretStr

from cli.settings import Services
from services.common import watched
from services.common.clients.credentials import Credentials
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import PreconditionError, StartupError, VideosearchError
from services.common.logs import ConsoleFormatter, JsonFormatter
from services.common.methods import Role
from services.common.ranking import VideoRanking
from services.common.server import Server
from services.common.settings import CallerSettings, ServerSettings
from tests.certificates import Authority
from tests.chains import chain
from tests.commands import run
from tests.secured import GIVEN, TOKENS, UNKNOWN, counting, line, tls


class SampleSettings(ServerSettings, CallerSettings):
    listen: str = "127.0.0.1:0"


@pytest.fixture(params=[JsonFormatter, ConsoleFormatter])
def log(request):
    """All that anything logs meanwhile, at any level."""
    text, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(text)
    handler.setFormatter(request.param())
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)


def secrets_in(text: str, keys: list[str]) -> list[str]:
    """The tokens, their digests and the lines of keys that are in a text."""
    tokens = [*TOKENS.values(), UNKNOWN]
    digests = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
    return [secret for secret in (*tokens, *digests, *keys) if secret in text]


def lines_of(key) -> list[str]:
    return [line for line in key.read_text().splitlines() if "-----" not in line]


async def failure(call) -> str:
    with pytest.raises(VideosearchError) as failed:
        await call
    return str(failed.value)


async def begun(services) -> None:
    """A caller with the services' own credentials."""
    async with StoreClient(services.store, services.caller):
        pass


async def test_a_day_of_a_guarded_system_tells_no_secret(tmp_path, monkeypatch, log, capfd):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    told = []
    async with chain(tmp_path, searchs_token=UNKNOWN) as services:
        for token in ("", UNKNOWN, TOKENS[Role.READ]):
            mine = replace(services.caller, token=token)
            async with SearchClient(services.search, mine) as search, StoreClient(services.store, mine) as store:
                told.append(await failure(search.search_videos("a butterfly", VideoRanking())))
                told.append(await failure(store.delete_video("rabbit")))
            services.told_to(monkeypatch, token)
            told.append((await run("search", "a butterfly")).output)
        shutil.copy(services.authority.issue("another").key, services.caller.identity.key)
        told.append(await failure(begun(services)))
        keys = [part for file in tmp_path.rglob("*.key") for part in lines_of(file)]
    assert "the token is not known" in log.getvalue()
    assert not secrets_in(log.getvalue() + "".join(told) + "".join(capfd.readouterr()), keys)


async def test_files_that_are_broken_are_named_and_not_shown(tmp_path, monkeypatch, log):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    file = tmp_path / "tokens"
    file.write_text(line(TOKENS[Role.READ]))
    credentials = Credentials(token=UNKNOWN)
    async with counting(tokens_file=file) as address, StoreClient(address, credentials) as client:
        for content in (f"a:read:{UNKNOWN}", UNKNOWN, f"a:read:{UNKNOWN}".encode() + b"\xff"):
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
            await failure(client.stats())
    assert log.getvalue().count("file not taken") == 3
    assert not secrets_in(log.getvalue(), [])


def test_the_line_of_settings_has_no_secret(monkeypatch, log):
    monkeypatch.setenv("VIDEOSEARCH_TOKENS", GIVEN)
    monkeypatch.setenv("VIDEOSEARCH_TOKEN", UNKNOWN)
    SampleSettings.load().log_once()
    assert "tokens" in log.getvalue()
    assert not secrets_in(log.getvalue(), [])


async def test_a_secret_that_is_no_text_is_not_shown(monkeypatch):
    odd = f"{UNKNOWN}\udcff"  # a byte that is not UTF-8, as the environment has it
    monkeypatch.setenv("VIDEOSEARCH_TOKENS", f"a:read:{odd}")
    monkeypatch.setenv("VIDEOSEARCH_TOKEN", odd)
    settings = SampleSettings.load()
    with pytest.raises(StartupError, match="cannot read tokens: token 1 is not of the form") as failed:
        Server(settings, StoreClient.service, lambda server: None)
    with pytest.raises(PreconditionError, match="VIDEOSEARCH_TOKEN holds more than a token") as refused:
        StoreClient("127.0.0.1:1", settings.credentials)
    assert not secrets_in(f"{failed.value} {refused.value}", [])


@pytest.mark.parametrize("settings", [SampleSettings, Services])
def test_a_wrong_setting_beside_a_secret_does_not_show_it(monkeypatch, settings):
    monkeypatch.setenv("VIDEOSEARCH_TOKEN", "hunter2")  # short, as a long one is cut where an error shows its input
    monkeypatch.setenv("VIDEOSEARCH_TLS_KEY_FILE", "key.pem")
    with pytest.raises(ValueError, match="set together or not") as failed:
        settings()
    assert "hunter2" not in f"{failed.value} {settings.problem(failed.value)}"


async def test_tokens_that_are_wrong_at_the_start_are_not_shown(tmp_path):
    (tmp_path / "tokens").write_text(f"a:read:{UNKNOWN}")
    for settings in ({"tokens": SecretStr(UNKNOWN)}, {"tokens": "a:read:short"}, {"tokens_file": tmp_path / "tokens"}):
        with pytest.raises(StartupError) as failed:
            async with counting(**settings):
                pass
        assert not secrets_in(str(failed.value), [])
        assert "short" not in str(failed.value)


async def test_a_key_that_is_wrong_at_the_start_is_not_shown(tmp_path):
    authority = Authority(tmp_path)
    identity = authority.issue("server")
    shutil.copy(authority.issue("another").key, identity.key)
    with pytest.raises(StartupError, match="are no certificate and its key") as failed:
        async with counting(**tls(identity)):
            pass
    assert not secrets_in(str(failed.value), lines_of(identity.key))
