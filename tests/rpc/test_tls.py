"""Who is let in by TLS and by mutual TLS, and what those are told who are not."""

import logging
from contextlib import aclosing

import grpc
import pytest

from services.common.clients.credentials import Credentials
from services.common.clients.store import StoreClient
from services.common.errors import OverloadedError, PreconditionError, StartupError, UnavailableError
from services.common.tls import Identity
from tests.certificates import DAY, Authority
from tests.secured import Counting, bearer, counting, tls
from videosearch.v1 import store_pb2, store_pb2_grpc

WANTS_TLS = r"does it want TLS\? then set VIDEOSEARCH_TLS_CA_FILE"
WANTS_CERTIFICATE = r"does it want a certificate\? then set VIDEOSEARCH_TLS_CERTIFICATE_FILE"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ours")


@pytest.fixture
def stranger(tmp_path):
    """Another authority, which calls itself the same."""
    return Authority(tmp_path / "strange")


async def video_count(address: str, credentials: Credentials) -> int:
    async with StoreClient(address, credentials) as client:
        return (await client.stats()).video_count


async def refused(address: str, credentials: Credentials) -> str:
    """What a caller is told that is not let in."""
    with pytest.raises(UnavailableError) as failure:
        await video_count(address, credentials)
    return str(failure.value)


async def test_a_call_goes_over_tls(authority):
    async with counting(**tls(authority.issue("server"))) as address:
        assert await video_count(address, Credentials(authority.file)) == 3


async def test_health_is_asked_over_tls(authority):
    async with (
        counting(**tls(authority.issue("server"))) as address,
        StoreClient(address, Credentials(authority.file)) as client,
    ):
        assert await client.serving()


async def test_a_caller_without_tls_is_told_what_to_set(authority):
    async with counting(**tls(authority.issue("server"))) as address:
        with pytest.raises(UnavailableError, match=WANTS_TLS):
            await video_count(address, Credentials())


async def test_a_caller_with_tls_of_a_server_without_is_told_what_to_unset(authority):
    async with counting() as address:
        assert "it does not serve TLS: unset VIDEOSEARCH_TLS_CA_FILE" in await refused(
            address, Credentials(authority.file)
        )


async def test_a_server_of_another_authority_is_not_trusted(authority, stranger):
    async with counting(**tls(stranger.issue("server"))) as address:
        told = await refused(address, Credentials(authority.file))
    assert "VIDEOSEARCH_TLS_CA_FILE does not have the authority of its certificate" in told


async def test_a_server_whose_certificate_has_expired_is_not_trusted(authority):
    async with counting(**tls(authority.issue("server", valid_for=-DAY))) as address:
        assert "certificate has expired" in await refused(address, Credentials(authority.file))


async def test_a_server_with_a_certificate_for_another_name_is_not_trusted(authority):
    async with counting(**tls(authority.issue("server", hosts=("store.example.org",)))) as address:
        told = await refused(address, Credentials(authority.file))
    assert "its certificate is for other names than this address" in told


async def test_a_server_is_not_trusted_for_its_common_name(authority):
    async with counting(**tls(authority.issue("127.0.0.1", hosts=("store.example.org",)))) as address:
        await refused(address, Credentials(authority.file))


async def test_mutual_tls_lets_in_who_shows_a_certificate_of_the_authority(authority):
    async with counting(**tls(authority.issue("server"), authority.file)) as address:
        assert await video_count(address, Credentials(authority.file, authority.issue("search"))) == 3


@pytest.mark.parametrize("shown", ["nothing", "another authority's", "an expired one"])
async def test_mutual_tls_lets_in_nobody_else(authority, stranger, shown):
    identity = {
        "nothing": lambda: None,
        "another authority's": lambda: stranger.issue("search"),
        "an expired one": lambda: authority.issue("search", valid_for=-DAY),
    }[shown]()
    servicer = Counting()
    async with counting(servicer, **tls(authority.issue("server"), authority.file)) as address:
        with pytest.raises(UnavailableError, match=WANTS_CERTIFICATE):
            await video_count(address, Credentials(authority.file, identity))
    assert not servicer.callers


async def test_mutual_tls_closes_the_health_checks_too(authority):
    async with (
        counting(**tls(authority.issue("server"), authority.file)) as address,
        StoreClient(address, Credentials(authority.file)) as client,
    ):
        with pytest.raises(UnavailableError):
            await client.serving()


async def test_a_caller_without_a_token_has_the_name_of_its_certificate(authority, caplog):
    caplog.set_level(logging.INFO, "services.rpc")
    async with counting(**tls(authority.issue("server"), authority.file)) as address:
        await video_count(address, Credentials(authority.file, authority.issue("search")))
    assert [record.caller for record in caplog.records if record.message == "call"] == ["search"]


async def test_callers_are_limited_by_the_names_of_their_certificates(authority):
    servicer, settings = Counting(), tls(authority.issue("server"), authority.file)
    async with (
        counting(servicer, **settings, max_calls_per_caller=1) as address,
        StoreClient(address, Credentials(authority.file, authority.issue("one"))) as one,
    ):
        servicer.pieces.put_nowait(b"first")
        async with aclosing(one.backup()) as running:
            await anext(running)
            with pytest.raises(OverloadedError):
                await one.stats()
            assert await video_count(address, Credentials(authority.file, authority.issue("two"))) == 3


async def test_other_tls_clients_get_in_with_a_token(authority):
    """As grpcurl does, which knows nothing of our settings."""
    token = "a-token-that-nobody-guesses-0123456789"
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    async with (
        counting(**tls(authority.issue("server")), tokens=f"somebody:read:{token}") as address,
        grpc.aio.secure_channel(address, credentials) as channel,
    ):
        stub = store_pb2_grpc.StoreServiceStub(channel)
        assert (await stub.GetStats(store_pb2.GetStatsRequest(), metadata=bearer(token))).video_count == 3


async def test_a_key_of_another_certificate_stops_the_start(authority):
    mixed = Identity(authority.issue("one").certificate, authority.issue("two").key)
    with pytest.raises(StartupError, match=r"cannot serve TLS: .*one.pem and .*two.key are no certificate and its key"):
        async with counting(**tls(mixed)):
            pass


async def test_a_certificate_that_is_not_there_stops_the_start(authority, tmp_path):
    missing = Identity(tmp_path / "missing.pem", authority.issue("one").key)
    with pytest.raises(StartupError, match=r"cannot serve TLS: .*missing\.pem"):
        async with counting(**tls(missing)):
            pass


async def test_an_authority_without_a_certificate_of_the_server_stops_the_start(authority):
    with pytest.raises(StartupError, match="VIDEOSEARCH_TLS_CLIENT_CA_FILE needs VIDEOSEARCH_TLS_CERTIFICATE_FILE"):
        async with counting(tls_client_ca_file=authority.file):
            pass


async def test_a_file_without_authorities_is_refused_at_once(tmp_path):
    (tmp_path / "empty.pem").touch()
    with pytest.raises(PreconditionError, match=r"credentials for StoreService at .*empty\.pem has no certificates"):
        StoreClient("127.0.0.1:1", Credentials(tmp_path / "empty.pem"))
