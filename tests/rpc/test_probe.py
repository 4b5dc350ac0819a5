import asyncio
import sys

from services.common.probe import problem
from services.common.server import Server
from services.common.settings import ServerSettings
from tests.servers import serving

SERVICE = "videosearch.v1.StoreService"


async def run_probe(address):
    """The exit status and what is printed of the probe as a program."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.common.probe", address, SERVICE), stderr=asyncio.subprocess.PIPE
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
