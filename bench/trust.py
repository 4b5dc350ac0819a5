"""`python -m bench trust`: a query through the real services, plain and with all that guards and watches them."""

import asyncio
import itertools
import multiprocessing
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from bench.e2e import fill_store
from bench.measure import machine, milliseconds
from bench.system import running
from services.common.clients.channel import ANONYMOUS
from services.common.clients.credentials import Credentials
from services.common.clients.search import SearchClient
from services.common.ranking import VideoRanking
from tests.certificates import Authority
from tools.lite_classes import class_names
from tools.stack import Stack, free_addresses

QUERIES = 400
"""Of each side, one after the other, in turns; each text is new."""

ROUNDS, ROUND_S, CALLERS = 6, 3.0, 16
"""Of many callers at once, of each side in turns."""

SCRAPE_S = 1.0
TOKEN = "0123456789abcdef" * 4
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Side:
    """One of the two stacks."""

    stack: Stack
    search: SearchClient
    times: list[float] = field(default_factory=list)
    """Seconds of queries one after the other."""
    rates: list[float] = field(default_factory=list)
    """Queries answered in a second with many callers, of each round."""
    costs: list[float] = field(default_factory=list)
    """Processor seconds of all services for a query, of each round: what else the machine does counts less in them."""

    def processor_s(self) -> float:
        used = [psutil.Process(service.process.pid).cpu_times() for service in self.stack.services.values()]
        return sum(times.user + times.system for times in used)


def trust(model: str, scene_count: int) -> dict[str, Any]:
    return asyncio.run(_trust(model, scene_count))


async def _trust(model: str, scene_count: int) -> dict[str, Any]:
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        endpoint, received_bytes = opened.enter_context(_collector())
        metrics = free_addresses()
        credentials, settings = _secured(folder, endpoint, metrics)
        plain = await opened.enter_async_context(_side(model, scene_count, _PLAIN, ANONYMOUS))
        secured = await opened.enter_async_context(_side(model, scene_count, settings, credentials))
        opened.enter_context(_scraped(list(metrics.values())))
        await _measure((plain, secured))
        figures = _figures(plain, secured)
        return {**figures, "traces_mb": round(received_bytes() / 1e6, 2), "scenes": scene_count, "machine": machine()}


def _figures(plain: Side, secured: Side) -> dict[str, float]:
    return {
        "plain_p50_ms": milliseconds(plain.times, 50),
        "secured_p50_ms": milliseconds(secured.times, 50),
        "overhead": round(float(np.median(secured.times) / np.median(plain.times)) - 1, 3),
        "plain_qps": round(statistics.median(plain.rates), 1),
        "secured_qps": round(statistics.median(secured.rates), 1),
        "plain_processor_ms": milliseconds(plain.costs, 50),
        "secured_processor_ms": milliseconds(secured.costs, 50),
    }


_PLAIN = {f"VIDEOSEARCH_{name.upper()}_METRICS_LISTEN": "" for name in free_addresses()} | {
    "VIDEOSEARCH_TRACING": "false"
}
"""Metrics are counted, as always, but nobody can ask for them."""


def _secured(folder: Path, endpoint: str, metrics: Mapping[str, str]) -> tuple[Credentials, dict[str, str]]:
    """Mutual TLS, tokens, metrics at these addresses and all calls traced."""
    authority = Authority(folder)
    identity = authority.issue("bench")
    return Credentials(authority.file, identity, TOKEN), {
        "VIDEOSEARCH_TLS_CERTIFICATE_FILE": str(identity.certificate),
        "VIDEOSEARCH_TLS_KEY_FILE": str(identity.key),
        "VIDEOSEARCH_TLS_CLIENT_CA_FILE": str(authority.file),
        "VIDEOSEARCH_TLS_CA_FILE": str(authority.file),
        "VIDEOSEARCH_TOKENS": f"bench:admin:{TOKEN}",
        "VIDEOSEARCH_TOKEN": TOKEN,
        "VIDEOSEARCH_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        **{f"VIDEOSEARCH_{name.upper()}_METRICS_LISTEN": address for name, address in metrics.items()},
    }


@asynccontextmanager
async def _side(
    model: str, scene_count: int, settings: Mapping[str, str], credentials: Credentials
) -> AsyncIterator[Side]:
    with tempfile.TemporaryDirectory() as videos:
        async with running(model, Path(videos), settings, credentials) as stack:
            await fill_store(stack, scene_count, credentials)
            async with SearchClient(stack.addresses["search"], credentials) as search:
                yield Side(stack, search)


async def _measure(sides: Sequence[Side]) -> None:
    """In turns, so that whatever else the machine does is the same to both."""
    texts = _new_texts()
    for text in itertools.islice(texts, QUERIES):
        for side in sides:
            begun = time.perf_counter()
            await side.search.search_videos(text, VideoRanking())
            side.times.append(time.perf_counter() - begun)
    for _ in range(ROUNDS):
        for side in sides:
            await _round(side, texts)


async def _round(side: Side, texts: Iterator[str]) -> None:
    answered, begun, used_s = 0, time.perf_counter(), side.processor_s()

    async def call() -> None:
        nonlocal answered
        while time.perf_counter() - begun < ROUND_S:
            await side.search.search_videos(next(texts), VideoRanking())
            answered += 1

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    side.rates.append(answered / (time.perf_counter() - begun))
    side.costs.append((side.processor_s() - used_s) / answered)


def _new_texts() -> Iterator[str]:
    """Each is given once; there are half a million."""
    for first, second in itertools.combinations(class_names(), 2):
        yield f"{first} beside {second}"


@contextmanager
def _scraped(addresses: Sequence[str]) -> Iterator[None]:
    """Metrics are asked for each second, as Prometheus would."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(SCRAPE_S):
            for address in addresses:
                urllib.request.urlopen(f"http://{address}/metrics").read()

    thread = threading.Thread(target=scrape, name="scraper")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _collector() -> Iterator[tuple[str, Callable[[], int]]]:
    """A process that takes traces; yields its endpoint, and what tells how many bytes it has got."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_collect, args=(its,), daemon=True)
    process.start()
    its.close()

    def received_bytes() -> int:
        ours.send("how many?")
        return int(ours.recv())

    try:
        yield ours.recv(), received_bytes
    finally:
        process.terminate()
        process.join()


def _collect(asked: Connection) -> None:
    received = 0

    def export(request: bytes, _context: grpc.ServicerContext) -> bytes:
        nonlocal received
        received += len(request)
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    _, service, method = EXPORT.split("/")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {method: grpc.unary_unary_rpc_method_handler(export)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    asked.send(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    while asked.recv():
        asked.send(received)
