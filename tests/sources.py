"""The indexer's sources, and a web site on loopback that does as it is told."""

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from services.indexer.database import Database
from services.indexer.digests import Digests
from services.indexer.download import Downloads
from services.indexer.objects import Objects
from services.indexer.sources import LocalFiles, Sources
from services.indexer.spool import Spool

LOOPBACK = "127.0.0.0/8"


def sources_with(
    database: Database,
    folder: Path,
    *,
    hosts: tuple[str, ...] = ("127.0.0.1",),
    networks: tuple[str, ...] = (LOOPBACK,),
    prefixes: tuple[str, ...] = (),
    max_bytes: int = 10**6,
    max_spool_bytes: int = 10**7,
    max_download_s: float = 10.0,
) -> Sources:
    """Sources with data under `folder`; `folder / "videos"` may be indexed."""
    return Sources(
        files=LocalFiles([folder / "videos"]),
        downloads=Downloads(hosts, [ip_network(network) for network in networks]),
        objects=Objects(prefixes),
        spool=Spool(folder / "spool", max_spool_bytes, max_bytes),
        digests=Digests(database),
        max_download_s=max_download_s,
    )


class Site:
    """One file at every path, in ranges if asked for; what is odd about it is set by the test."""

    def __init__(self) -> None:
        self.content = bytes(range(256)) * 4000
        self.headers: dict[str, str] = {"ETag": '"first"'}
        self.status = 200
        self.breaks: list[int] = []
        """Bytes after which the next answers break off."""
        self.ignores_ranges = False
        self.tells_length = True
        self.url = ""
        self.asked: list[dict[str, str]] = []
        """Headers of each request."""

    def answer(self, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self.status != 200:
            return self.status, self.headers, b""
        told = re.fullmatch(r"bytes=(\d+)-", asked.get("Range", ""))
        same = asked.get("If-Range") in (self.headers.get("ETag"), self.headers.get("Last-Modified"))
        if not told or not same or self.ignores_ranges:
            return 200, self.headers, self.content
        start, size = int(told[1]), len(self.content)
        if start >= size:
            return 416, {"Content-Range": f"bytes */{size}"}, b""
        return 206, {"Content-Range": f"bytes {start}-{size - 1}/{size}", **self.headers}, self.content[start:]


@contextmanager
def site_on_loopback(certificate: Path | None = None) -> Iterator[Site]:
    """With a certificate (and its key, in one file) the site is one of https."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = dict(self.headers.items())
            site.asked.append(asked)
            status, headers, body = site.answer(asked)
            self.send_response(status)
            length = {"Content-Length": str(len(body))} if site.tells_length else {}
            for name, value in (length | headers).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # the client may have had enough
                self.wfile.write(body[: site.breaks.pop(0)] if site.breaks else body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # looks this often whether to stop
    thread.start()
    site.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}/film.mp4"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
