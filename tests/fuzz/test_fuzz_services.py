"""Whatever the services are sent, they answer as the table of statuses says, live on and keep their memory.

VIDEOSEARCH_FUZZ_CALLS says how many calls are made; `make fuzz` makes 20,000. Each follows from VIDEOSEARCH_FUZZ_SEED
and its number, and a failure tells how to make that call again, as long as the ones before do not matter.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

import grpc
import pytest
import pytest_asyncio

from services.common.methods import METHODS
from tests.fuzz.calls import Outcome, Plan, made, misread, path_of, plan, rpcs
from tests.fuzz.port import noise, sent
from tests.fuzz.world import World, world

CALLS = int(os.environ.get("VIDEOSEARCH_FUZZ_CALLS", "700"))
SEED = int(os.environ.get("VIDEOSEARCH_FUZZ_SEED", "7"))
FIRST = int(os.environ.get("VIDEOSEARCH_FUZZ_FIRST", "0"))

AT_ONCE = 6
REFILL_EVERY = 250

ALLOWED = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"),
    *("DEADLINE_EXCEEDED", "CANCELLED", "LOST"),
}
"""Of a call of an RPC that there is; LOST is no status: see `calls.made`."""

NOISE_AT_ONCE = 20

GRPC_COMPLAINS = ("hpack_parser.cc", "Invalid encoding on", "codec can't decode")
"""What gRPC itself says of headers that are none; a method named in such bytes stops its server, which is replaced."""

GROWTH_MIB = 64
"""Of a process between a quarter of the calls and all: caches that fill, and what the allocator keeps."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300 + CALLS)]


@dataclass
class Ran:
    """What came of all the calls."""

    world: World
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls by path and status."""
    wrong: list[str] = field(default_factory=list)
    mib: list[dict[str, float]] = field(default_factory=list)
    """Memory of each service, at times."""
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)
    complaints_of_noise: list[str] = field(default_factory=list)

    def note(self, plan: Plan, outcome: Outcome) -> None:
        self.ended[plan.path if plan.known else "no such RPC", outcome.code] += 1
        allowed = ALLOWED if plan.known else {*ALLOWED, "UNIMPLEMENTED"}
        if outcome.code not in allowed or "<class" in outcome.details or misread(plan, outcome):
            again = f"VIDEOSEARCH_FUZZ_SEED={SEED} VIDEOSEARCH_FUZZ_FIRST={plan.number} VIDEOSEARCH_FUZZ_CALLS=1"
            command = f"{again} .venv/bin/pytest tests/fuzz/test_fuzz_services.py"
            self.wrong.append(f"{outcome.code} {outcome.details!r} to {plan}\nagain: {command}")

    def __str__(self) -> str:
        codes = sorted({code for _, code in self.ended})
        rows = [
            f"{path:<62}" + "".join(f"{self.ended[path, code]:>{len(code) + 2}}" for code in codes)
            for path in sorted({path for path, _ in self.ended})
        ]
        head = " " * 62 + "".join(f"  {code}" for code in codes)
        memory = [
            f"{name}: " + " ".join(f"{at[name]:.0f}" for at in self.mib) + " MiB" for name in self.world.stack.services
        ]
        total = f"{self.ended.total()} calls of seed {SEED} in {self.seconds:.0f} s"
        return "\n".join(["", head, *rows, *memory, total])


async def make_noise(services: World) -> None:
    """What is no gRPC, at every port, many at once."""
    for first in range(FIRST, FIRST + CALLS // 10, NOISE_AT_ONCE):
        randoms = [Random(f"{SEED}/noise/{number}") for number in range(first, first + NOISE_AT_ONCE)]
        addresses = list(services.stack.addresses.values())
        paths = [path_of(rpc) for rpc in rpcs()]
        await asyncio.gather(*(sent(one.choice(addresses), noise(one, one.choice(paths))) for one in randoms))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ran]:
    async with world(tmp_path_factory.mktemp("fuzz")) as services, AsyncExitStack() as stack:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channels = {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            for name, address in services.stack.addresses.items()
        }
        result, started = Ran(services), time.monotonic()
        for first in range(FIRST, FIRST + CALLS, REFILL_EVERY):
            await services.refill()
            numbers = iter(range(first, min(first + REFILL_EVERY, FIRST + CALLS)))

            async def caller(numbers: Iterator[int] = numbers) -> None:
                for number in numbers:  # of all callers
                    planned = plan(SEED, number, services.known)
                    result.note(planned, await made(channels[planned.process], planned))

            await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
            result.mib.append(services.resident_mib())
        result.seconds = time.monotonic() - started
        result.complaints = services.complaints()
        await make_noise(services)
        result.complaints_of_noise = services.complaints()[len(result.complaints) :]
        sys.stdout.write(str(result))  # to be seen where a test fails, or with -s
        yield result


async def test_every_call_ends_with_a_status_of_the_table(ran: Ran) -> None:
    assert not ran.wrong, "\n".join([f"{len(ran.wrong)} calls ended wrong", *ran.wrong[:5]])


async def test_no_service_falls_over_anywhere(ran: Ran) -> None:
    """Its log names the calls by their numbers, as request ids."""
    assert not ran.complaints, "\n".join([f"seed {SEED}: {len(ran.complaints)} complaints", *ran.complaints[:5]])


async def test_no_service_falls_over_what_is_no_grpc(ran: Ran) -> None:
    unexpected = [line for line in ran.complaints_of_noise if not any(word in line for word in GRPC_COMPLAINS)]
    assert not unexpected, "\n".join([f"seed {SEED}: {len(unexpected)} complaints", *unexpected[:5]])


async def test_every_service_lives_and_serves_in_the_end(ran: Ran) -> None:
    assert await ran.world.health() == dict.fromkeys(ran.world.stack.services, True)


async def test_memory_stays_flat(ran: Ran) -> None:
    warm = ran.mib[len(ran.mib) // 4]
    grown = {name: now - warm[name] for name, now in ran.mib[-1].items() if now - warm[name] > GROWTH_MIB}
    assert not grown, f"seed {SEED}: {ran}"


@pytest.mark.skipif(CALLS < 700, reason="too few calls to come to every RPC")
async def test_calls_come_to_every_rpc_and_many_past_its_door(ran: Ran) -> None:
    answered = {path for path, code in ran.ended if code == "OK"}
    refused = {path for path, code in ran.ended if code == "INVALID_ARGUMENT"}
    assert {path_of(rpc) for rpc in rpcs()} <= answered | refused
    assert len(answered & set(METHODS)) > 0.8 * len(METHODS)
