"""What else may come to a port: other protocols, noise, and HTTP/2 that no gRPC client would send."""

import asyncio
import contextlib
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4

PATIENCE_S = 0.2
"""To hear something."""

AWAY_S = 10

TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2
OTHERS = (
    *(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /videosearch.v1.StoreService/GetStats HTTP/1.0\r\n\r\n", TLS_HELLO),
    *(b"", b"\0" * 5000, b"PRI * HTTP/2.0\r\n", PREFACE, PREFACE * 3, PREFACE + b"\xff" * 3000),
)

ODD_HEADERS: tuple[Mapping[bytes, bytes], ...] = (
    {b"authorization": b"Bearer \xff\xfe\x00\r\nx: y"},
    {b"authorization": b"\xed\xa0\x80" * 50},
    {b"x-request-id": b"\x1b[31m\r\n{}\xff"},
    {b"x-request-id-bin": b"no base64 \xff"},
    {b"grpc-timeout": b"-1S"},
    {b"grpc-timeout": b"99999999999999999999H"},
    {b"grpc-timeout": b"0n"},
    {b"grpc-encoding": b"\xff", b"grpc-accept-encoding": b"," * 500},
    {b"content-type": b"text/html"},
    {b"content-type": b""},
    {b"content-length": b"-1"},
    {b"te": b""},
    {b":method": b"GET"},
    {b":path": b"\xff\x00"},
    {b":path": b""},
    {b":scheme": b"gopher", b":authority": b"\x00"},
    {b"Upper": b"Case", b"": b"nothing"},
    {b"long": b"v" * 12_000},
)


def noise(random: Random, path: str) -> bytes:
    """What a strange client sends, in whole."""
    kind = random.random()
    if kind < 0.3:
        return random.choice(OTHERS)
    if kind < 0.4:
        return PREFACE + random.randbytes(random.choice([9, 100, 4000]))
    return PREFACE + _frame(SETTINGS, 0, 0, b"") + b"".join(_frames(random, path))


def call_of(path: bytes, odd: Mapping[bytes, bytes] = MappingProxyType({})) -> bytes:
    """A call without arguments, as a client would send it that takes any bytes for text."""
    headers = _frame(HEADERS, END_HEADERS, 1, _headers("", {b":path": path, **odd}))
    return PREFACE + _frame(SETTINGS, 0, 0, b"") + headers + _frame(DATA, END_STREAM, 1, bytes(5))


def _frames(random: Random, path: str) -> list[bytes]:
    """A call with odd headers and data, and sometimes frames that have no place there."""
    message = random.choice(
        [b"", b"\0\0\0\0\0", b"\0\xff\xff\xff\xff", b"\1\0\0\0\3abc", b"\0\0\0\0\2\xff\xff", b"\7\0"]
    )
    frames = [
        _frame(HEADERS, END_HEADERS, 1, _headers(path, random.choice(ODD_HEADERS))),
        _frame(DATA, random.choice([0, END_STREAM]), 1, message),
        _frame(random.choice([RST_STREAM, PING, GOAWAY, WINDOW_UPDATE]), 0, random.choice([0, 1]), bytes(8)),
        _frame(random.choice([CONTINUATION, SETTINGS, 77]), random.randrange(256), 1, random.randbytes(6)),
    ]
    return frames[:2] if random.random() < 0.6 else random.sample(frames, len(frames))


def _headers(path: str, odd: Mapping[bytes, bytes]) -> bytes:
    """Those of a gRPC call, but for the odd ones, as HPACK's literals (https://httpwg.org/specs/rfc7541.html#rfc.section.6.2.2)."""
    usual = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(),
        b":authority": b"a",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in (usual | odd).items())


def _literal(text: bytes) -> bytes:
    """With its length as an integer of seven bits and more."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, b"\x7f"
    while rest >= 128:
        length, rest = length + bytes([rest % 128 | 128]), rest // 128
    return length + bytes([rest]) + text


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def sent(address: str, data: bytes, patience_s: float = PATIENCE_S) -> None:
    """Send it, hear what comes for a moment, and leave without a word."""
    reader, writer = await _connected(address)
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(data)
        await writer.drain()
        await asyncio.wait_for(reader.read(), patience_s)
    writer.transport.abort()


async def _connected(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A server that is being replaced is away for a moment."""
    host, _, port = address.rpartition(":")
    for _ in range(AWAY_S * 20):
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(host, int(port))
            if writer.get_extra_info("sockname") != writer.get_extra_info("peername"):
                return reader, writer
            writer.transport.abort()  # where nobody listens, TCP may connect a socket to itself
        await asyncio.sleep(0.05)
    raise ConnectionError(f"nobody listens at {address} any more")
