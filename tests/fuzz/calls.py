"""A call: planned from its number alone, so that it can be made again, and how it ends."""

import asyncio
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import videosearch.v1
from services.common.call import REQUEST_ID_KEY
from services.common.status import PEER_LOST
from tests.fuzz.damage import damaged
from tests.fuzz.messages import Known, Messages
from tools.stack import CLIENTS

AGED = "Debug Text: max_age"
"""Of a connection that had lasted as long as one may: its client says so of calls that the server did not take."""

LONGEST_S, LONGEST_WATCH_S = 30.0, 0.5
"""Of a call whose caller is in no hurry. A stream of responses may have no end, and gRPC never answers no request."""

ODD_PATHS = ("/", "//", "/videosearch.v1.StoreService/", "/videosearch.v1.StoreService/Nope", "/Nope/%00", "/\u00e4/a")

ODD_METADATA: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
    (("x-request-id", ""),),
    (("x-request-id", "r" * 129),),
    (("x-request-id", "a b%20\\u0000{}"), ("x-request-id", "again")),
    (("x-request-id-bin", b"\0\xff"),),
    (("traceparent", "00-zz-zz-01"), ("tracestate", "=,=,="), ("baggage", "a=%ff;b")),
    (("authorization", "Bearer " + "x" * 3000),),
    (("authorization-bin", b"\xff\0\n"),),
    (("grpc-status-details-bin", b"\xff"), ("grpc-retry-pushback-ms", "-1")),
    tuple((f"key-{number}", "value") for number in range(150)),
    (("big", "v" * 6000),),
    (("too-big", "v" * 40_000),),
    (("too-big-bin", bytes(100_000)),),
)


def rpcs() -> list[MethodDescriptor]:
    """All of our services, whatever they come to be, and those that come with gRPC."""
    names = sorted(info.name for info in pkgutil.iter_modules(videosearch.v1.__path__) if info.name.endswith("_pb2"))
    files = [importlib.import_module(f"videosearch.v1.{name}").DESCRIPTOR for name in names]
    files += [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    return [rpc for file in files for service in file.services_by_name.values() for rpc in service.methods]


def path_of(rpc: MethodDescriptor) -> str:
    return f"/{rpc.containing_service.full_name}/{rpc.name}"


@dataclass(frozen=True)
class Plan:
    """What a call sends, where and how."""

    number: int
    rpc: MethodDescriptor
    path: str
    process: str
    streams: tuple[bool, bool]
    """Whether requests and responses are called as streams, whatever the RPC has."""
    requests: Sequence[bytes]
    metadata: tuple[tuple[str, str | bytes], ...]
    timeout_s: float
    cancel_after_s: float | None
    half_close: bool
    """Whether a client stream ends, or only falls silent."""
    compression: grpc.Compression

    @property
    def known(self) -> bool:
        """Whether there is such an RPC at that process."""
        client = CLIENTS[self.process]
        ours = self.rpc.containing_service.full_name in (client.service, *COMMON)
        return ours and self.path == path_of(self.rpc)

    def __str__(self) -> str:
        sent = ", ".join(f"{len(request)} bytes {request[:200].hex()}" for request in self.requests[:3])
        manner = f"timeout {self.timeout_s:.4f} s, cancelled after {self.cancel_after_s}, half-close {self.half_close}"
        return f"call {self.number}: {self.path} at {self.process}, {len(self.requests)} messages ({sent}), {manner}"


COMMON = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")
"""Services that each process has."""


@dataclass(frozen=True)
class Outcome:
    code: str
    details: str = ""
    responses: Sequence[bytes] = ()


def plan(seed: int, number: int, known: Known) -> Plan:
    random = Random(f"{seed}/{number}")
    rpc = random.choice(rpcs())
    hurried, leaves, odd, lost, strange = (random.random() < share for share in (0.08, 0.08, 0.08, 0.02, 0.02))
    owners = [name for name, client in CLIENTS.items() if client.service == rpc.containing_service.full_name]
    streams = (rpc.client_streaming, rpc.server_streaming)
    metadata = random.choice(ODD_METADATA) if odd else ((REQUEST_ID_KEY, f"fuzz-{number}"),)
    return Plan(
        number,
        rpc,
        path=random.choice(ODD_PATHS) if lost else path_of(rpc),
        process=random.choice(owners if owners and not lost else list(CLIENTS)),
        streams=(random.random() < 0.5, random.random() < 0.5) if strange else streams,
        requests=_requests(random, rpc, known, strange=strange),
        metadata=metadata,
        timeout_s=random.uniform(0, 0.03) if hurried else LONGEST_WATCH_S if any(streams) or strange else LONGEST_S,
        cancel_after_s=random.uniform(0, 0.05) if leaves else None,
        half_close=not (hurried or leaves) or random.random() < 0.5,
        compression=random.choice([grpc.Compression.NoCompression] * 8 + [grpc.Compression.Gzip]),
    )


def _requests(random: Random, rpc: MethodDescriptor, known: Known, *, strange: bool) -> list[bytes]:
    """The messages: most as they are made, some damaged."""
    streams = known.get(path_of(rpc))
    if streams and random.random() < 0.7:
        messages = _rearranged(random, random.choice(streams))
    else:
        count = random.choice([0, 1, 2, 5, 40]) if rpc.client_streaming or strange else 1
        messages = [Messages(random, known).message(rpc.input_type) for _ in range(count)]
    requests = [message.SerializeToString() for message in messages]
    if requests and random.random() < 0.3:
        place = random.randrange(len(requests))
        requests[place] = damaged(random, requests[place], rpc.input_type)
    return requests


def _rearranged(random: Random, stream: Sequence[Any]) -> list[Any]:
    """A stream that a service would take; or nearly."""
    messages = list(stream)
    for _ in range(random.choice([0, 0, 1, 2])):
        place, other = random.randrange(len(messages)), random.randrange(len(messages))
        messages[place], messages[other] = messages[other], messages[place]
        if random.random() < 0.5:
            messages[place:] = messages[place + 1 :] or messages[:1]
    return messages


async def made(channel: grpc.aio.Channel, plan: Plan) -> Outcome:
    """Make the call and wait for its end."""
    kinds = (channel.unary_unary, channel.unary_stream, channel.stream_unary, channel.stream_stream)
    method: Any = kinds[2 * plan.streams[0] + plan.streams[1]](plan.path)
    request = _Sent(plan) if plan.streams[0] else (plan.requests or [b""])[0]
    call = method(request, timeout=plan.timeout_s, metadata=plan.metadata, compression=plan.compression)
    if plan.cancel_after_s is not None:
        asyncio.get_running_loop().call_later(plan.cancel_after_s, call.cancel)
    try:
        answers = [response async for response in call] if plan.streams[1] else [await call]
    except grpc.aio.AioRpcError as failure:
        details = failure.details() or ""
        if details == PEER_LOST or AGED in details:  # the client's own words, in place of the server's
            return Outcome("LOST")
        return Outcome(failure.code().name, details)
    except asyncio.CancelledError:
        return Outcome("CANCELLED")
    return Outcome("OK", "", [answer for answer in answers if answer is not None])


class _Sent:
    """The requests of a client stream. No generator: gRPC would leave one that waits unclosed."""

    def __init__(self, plan: Plan) -> None:
        self._requests = iter(plan.requests)
        self._ends = plan.half_close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for request in self._requests:
            return request
        if not self._ends:
            await asyncio.Event().wait()
        raise StopAsyncIteration


def misread(plan: Plan, outcome: Outcome) -> bool:
    """Whether an answer of ours is no message of its type. Reflection's is none where it repeats what nests deep."""
    if plan.rpc.containing_service.full_name in COMMON:
        return False
    try:
        for response in outcome.responses:
            GetMessageClass(plan.rpc.output_type).FromString(response)
    except DecodeError:
        return True
    return False
