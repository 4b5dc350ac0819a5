"""Downloads over http(s) from allowed hosts, which go on where they broke off."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

import httpx

from services.common.errors import InvalidInputError, NotFoundError, UnavailableError
from services.indexer.metrics import RECEIVED_BYTES
from services.indexer.spool import Part

Network: TypeAlias = IPv4Network | IPv6Network

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
MAX_REDIRECTS = 5
MAX_BREAKS = 4
"""Breaks in a row, none of which has brought a byte more, after which a download is given up."""
PAUSE_S = 0.5
CHUNK_BYTES = 1 << 20

PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All other addresses of IPv6 are special, such as those that stand for IPv4 ones (mapped, NAT64)."""
SIX_TO_FOUR = IPv6Network("2002::/16")

CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


class Downloads:
    def __init__(self, hosts: Sequence[str], private_networks: Sequence[Network]) -> None:
        self._hosts = {host.lower() for host in hosts}
        self._private_networks = private_networks

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()  # reads a hundred authorities, or those of SSL_CERT_FILE

    def check(self, url: str) -> httpx.URL:
        """The URL taken apart; InvalidInputError for a host that is not allowed."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidInputError(f"uri {url} is not a URL: {error}") from None
        if parsed.scheme not in ("http", "https") or not 0 <= (parsed.port or 0) < 1 << 16:
            raise InvalidInputError(f"uri {url} is not an http(s) URL")
        host = parsed.raw_host.decode("ascii")
        if host not in self._hosts:
            allowed = ", ".join(sorted(self._hosts)) or "none"
            raise InvalidInputError(f"uri has the host {host!r}, not one of the indexer's allowed hosts ({allowed})")
        return parsed

    async def fetch(self, url: str, part: Part) -> None:
        """Bring the part to its end, however often the transfer breaks as long as each try brings something."""
        furthest, breaks = part.size, 0
        while reason := await self._transfer(url, part, breaks):
            breaks = 1 if part.size > furthest else breaks + 1
            furthest = max(furthest, part.size)
            if breaks == MAX_BREAKS:
                raise UnavailableError(f"{url} cannot be downloaded: {reason}")
            await asyncio.sleep(PAUSE_S * breaks)

    async def _transfer(self, url: str, part: Part, breaks: int) -> str:
        """One try; why it broke off, or nothing."""
        headers = {"Accept-Encoding": "identity"}
        if part.size and part.tag:
            headers |= {"Range": f"bytes={part.size}-", "If-Range": part.tag}
        try:
            async with self._answer(url, headers, breaks) as response:
                return await _take(url, response, part, resumed="Range" in headers)
        except httpx.RequestError as error:
            return str(error) or type(error).__name__

    @asynccontextmanager
    async def _answer(self, url: str, headers: dict[str, str], breaks: int) -> AsyncIterator[httpx.Response]:
        """What answers at the end of the redirects, each of which is checked as the URL itself."""
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # A connection that is kept alive would serve another name at the same address, which TLS has not verified.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(verify=self._tls, timeout=timeout, limits=limits, trust_env=False) as http:
            target = url
            for _ in range(MAX_REDIRECTS + 1):
                parsed = self.check(target)
                addresses = await self._addresses(parsed)
                # Connected to is the very address that was checked: another look-up might give another answer.
                pinned = parsed.copy_with(host=addresses[breaks % len(addresses)])
                named = {"Host": parsed.netloc.decode("ascii")}
                tls = {"sni_hostname": parsed.raw_host.decode("ascii")}
                async with http.stream("GET", pinned, headers=headers | named, extensions=tls) as response:
                    if not response.has_redirect_location:
                        yield response
                        return
                    target = str(parsed.join(response.headers["Location"]))
        raise InvalidInputError(f"{url} redirects more than {MAX_REDIRECTS} times")

    async def _addresses(self, url: httpx.URL) -> list[str]:
        host = url.raw_host.decode("ascii")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UnavailableError(f"host {host!r} is not known: {error.strerror}") from None
        addresses = [str(socket_address[0]) for *_, socket_address in found]
        for address in map(ip_address, addresses):
            if not _is_public(address) and not any(address in network for network in self._private_networks):
                raise InvalidInputError(
                    f"host {host!r} has the private address {address}, in none of the indexer's private networks"
                )
        return addresses


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address not in GLOBAL_UNICAST or address in SIX_TO_FOUR):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def _take(url: str, response: httpx.Response, part: Part, *, resumed: bool) -> str:
    """Append an answer to the part; what is wrong with it if another try may be better."""
    _refuse_failure(url, response)
    start, total = _extent(response)
    if start != part.size or not resumed:
        await asyncio.to_thread(part.begin, _validator(response))
    if start != part.size:
        return "the server sent another part than it was asked for"
    if total is not None:
        part.expect(total)
    if response.status_code != RANGE_NOT_SATISFIABLE:
        async for chunk in response.aiter_raw(CHUNK_BYTES):
            await asyncio.to_thread(part.append, chunk)
            RECEIVED_BYTES.labels("download").inc(len(chunk))
    return "" if total in (None, part.size) else "the server sent another length than it had announced"


def _extent(response: httpx.Response) -> tuple[int, int | None]:
    """First byte of the answer, -1 if that is not told; and the length of the whole file, if it is."""
    if response.status_code not in (PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE):
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    told = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    start, total = told.groups() if told else (None, "*")
    if response.status_code == RANGE_NOT_SATISFIABLE:
        start = total  # there is nothing from there on
    return int(start) if start and start.isdecimal() else -1, None if total == "*" else int(total)


def _validator(response: httpx.Response) -> str:
    """What If-Range may be asked with (RFC 9110, 13.1.5): a strong ETag, or a date if there is no ETag at all."""
    etag: str = response.headers.get("ETag", "")
    return "" if etag.startswith("W/") else etag or response.headers.get("Last-Modified", "")


def _refuse_failure(url: str, response: httpx.Response) -> None:
    status = f"{url} answered {response.status_code} {response.reason_phrase}"
    if response.status_code in (404, 410):
        raise NotFoundError(status)
    if response.status_code in (408, 429) or response.is_server_error:
        raise UnavailableError(status)
    if not response.is_success and response.status_code != RANGE_NOT_SATISFIABLE:
        raise InvalidInputError(status)
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise InvalidInputError(f"{url} answered with the encoding {encoding}, unasked; the file as it is is needed")
