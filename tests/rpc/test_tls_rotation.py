"""Certificates are replaced while calls go on: none of those notices, and new connections use the new ones."""

import logging
import shutil
from contextlib import aclosing, asynccontextmanager

import pytest

from services.common import watched
from services.common.clients.credentials import Credentials
from services.common.clients.store import StoreClient
from services.common.errors import UnavailableError
from tests.certificates import Authority
from tests.secured import Counting, counting, tls


@pytest.fixture(autouse=True)
def always_looked_at(monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)


@pytest.fixture
def old(tmp_path):
    return Authority(tmp_path / "old", "old")


@pytest.fixture
def new(tmp_path):
    return Authority(tmp_path / "new", "new")


@pytest.fixture
def servicer():
    return Counting()


@asynccontextmanager
async def watching(client: StoreClient, servicer: Counting):
    """While a stream is open; fails unless it goes on to the end."""
    servicer.pieces.put_nowait(b"first")
    async with aclosing(client.backup()) as stream:
        assert await anext(stream) == b"first"
        yield
        servicer.pieces.put_nowait(b"last")
        assert await anext(stream) == b"last"


async def call(address: str, credentials: Credentials) -> None:
    """On a connection of its own."""
    async with StoreClient(address, credentials) as client:
        await client.stats()


def replace(identity, by) -> None:
    shutil.copy(by.certificate, identity.certificate)
    shutil.copy(by.key, identity.key)


async def test_a_server_shows_its_new_certificate_to_new_connections(old, new, servicer):
    identity = old.issue("server")
    async with (
        counting(servicer, **tls(identity)) as address,
        StoreClient(address, Credentials(old.file)) as client,
        watching(client, servicer),
    ):
        replace(identity, new.issue("server"))
        await call(address, Credentials(new.file))
        with pytest.raises(UnavailableError):
            await call(address, Credentials(old.file))
        await client.stats()


async def test_a_client_shows_its_new_certificate(old, servicer):
    identity = old.issue("mine")
    async with (
        counting(servicer, **tls(old.issue("server"), old.file)) as address,
        StoreClient(address, Credentials(old.file, identity)) as client,
        watching(client, servicer),
    ):
        await client.stats()
        replace(identity, old.issue("renewed"))
        await client.stats()
    assert servicer.callers == [b"mine", b"renewed"]


async def test_a_client_trusts_a_new_authority(old, new, servicer, tmp_path):
    identity, trusted = old.issue("server"), tmp_path / "trusted.pem"
    shutil.copy(old.file, trusted)
    async with (
        counting(servicer, **tls(identity)) as address,
        StoreClient(address, Credentials(trusted)) as client,
        watching(client, servicer),
    ):
        replace(identity, new.issue("server"))
        shutil.copy(new.file, trusted)
        await client.stats()


async def test_a_server_takes_callers_of_a_new_authority_and_no_more_of_the_old(old, new, servicer, tmp_path):
    trusted = tmp_path / "trusted.pem"
    shutil.copy(old.file, trusted)
    mine, others = Credentials(old.file, old.issue("mine")), Credentials(old.file, new.issue("other's"))
    async with (
        counting(servicer, **tls(old.issue("server"), trusted)) as address,
        StoreClient(address, mine) as client,
        watching(client, servicer),
    ):
        with pytest.raises(UnavailableError):
            await call(address, others)
        shutil.copy(new.file, trusted)
        await call(address, others)
        with pytest.raises(UnavailableError):
            await call(address, mine)
        await client.stats()


async def test_a_new_certificate_is_not_shown_before_its_key_is_there(old, new, servicer, caplog):
    identity, renewed = old.issue("server"), new.issue("server")
    async with counting(servicer, **tls(identity)) as address:
        shutil.copy(renewed.certificate, identity.certificate)
        await call(address, Credentials(old.file))
        await call(address, Credentials(old.file))
        (record,) = [record for record in caplog.records if record.message == "file not taken"]
        assert record.levelno == logging.ERROR
        assert f"{identity.certificate} and {identity.key} are no certificate and its key" in record.reason
        shutil.copy(renewed.key, identity.key)
        await call(address, Credentials(new.file))


async def test_a_client_goes_on_with_its_certificate_while_its_file_is_gone(old, servicer):
    identity = old.issue("mine")
    async with (
        counting(servicer, **tls(old.issue("server"), old.file)) as address,
        StoreClient(address, Credentials(old.file, identity)) as client,
    ):
        identity.certificate.unlink()
        await client.stats()
        old.issue("mine")
        await client.stats()
    assert servicer.callers == [b"mine", b"mine"]
