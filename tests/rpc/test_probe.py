import asyncio
import os
import sys

from services.common.probe import problem
from services.common.server import Server
from services.common.settings import ServerSettings
from tests.certificates import Authority
from tests.secured import GIVEN, tls
from tests.servers import serving

SERVICE = "videosearch.v1.StoreService"


async def run_probe(address, **environment):
    """The exit status and what is printed of the probe as a program."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.common.probe", address, SERVICE),
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode().splitlines()


async def test_the_probe_of_a_serving_service_exits_0():
    async with serving(SERVICE, lambda server: None) as address:
        assert await run_probe(address) == (0, [])


async def test_the_probe_of_a_service_that_cannot_be_reached_exits_1_and_says_why_in_one_line():
    status, (line,) = await run_probe("127.0.0.1:1")
    assert status == 1
    assert line.startswith(f"{SERVICE} at 127.0.0.1:1: UNAVAILABLE: ")


async def test_a_service_that_is_not_ready_is_a_problem():
    async with Server(ServerSettings(listen="127.0.0.1:0", grace_s=0.2), SERVICE, lambda server: None) as server:
        address = f"127.0.0.1:{server.port}"
        assert await asyncio.to_thread(problem, address, SERVICE) == f"{SERVICE} at {address} is not serving"


async def test_another_service_at_the_address_is_a_problem():
    async with serving("videosearch.v1.SearchService", lambda server: None) as address:
        said = await asyncio.to_thread(problem, address, SERVICE)
        assert said.startswith(f"{SERVICE} at {address}: NOT_FOUND")


async def test_the_probe_goes_over_mutual_tls_and_needs_no_token(tmp_path):
    authority = Authority(tmp_path)
    identity = authority.issue("server")
    environment = {
        "VIDEOSEARCH_TLS_CA_FILE": str(authority.file),
        "VIDEOSEARCH_TLS_CERTIFICATE_FILE": str(identity.certificate),
        "VIDEOSEARCH_TLS_KEY_FILE": str(identity.key),
    }
    async with serving(SERVICE, lambda server: None, tokens=GIVEN, **tls(identity, authority.file)) as address:
        assert await run_probe(address, **environment) == (0, [])


async def test_a_certificate_of_an_authority_that_is_not_trusted_is_a_problem(tmp_path, monkeypatch):
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
    monkeypatch.setenv("VIDEOSEARCH_TLS_CA_FILE", str(other.file))
    async with serving(SERVICE, lambda server: None, **tls(authority.issue("server"))) as address:
        said = await asyncio.to_thread(problem, address, SERVICE)
        assert said.startswith(f"{SERVICE} at {address}: UNAVAILABLE")


def test_an_authority_that_is_not_there_is_a_problem(monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_TLS_CA_FILE", "/nowhere/ca.pem")
    assert problem("127.0.0.1:1", SERVICE).endswith("No such file or directory: '/nowhere/ca.pem'")
