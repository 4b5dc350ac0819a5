"""Where videos come from: files under allowed roots, and http(s) URLs on allowed hosts."""

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from services.common.errors import InvalidInputError, NotFoundError, PreconditionError, StartupError, UnavailableError

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
MAX_REDIRECTS = 5
PART_BYTES = 16 << 20

MAX_NAME_LENGTH = 255
"""As of a file: a name becomes the title of a video that has no other, and a URL may be longer than titles may."""


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    max_bytes: int
    max_s: float


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A video file at hand, as it was when it was read for its digest."""

    path: Path
    name: str
    """For people: the last part of the path or URL."""
    sha256: str
    stamp: tuple[int, int]
    """Size in bytes and time of change in nanoseconds."""

    def refuse_if_changed(self) -> None:
        """The bytes that were decoded must be those of the digest."""
        if not self.path.exists() or _stamp(self.path) != self.stamp:
            raise PreconditionError(f"{self.name} changed while it was indexed; index it again once it is complete")


class Sources:
    def __init__(
        self, roots: Sequence[Path], hosts: Sequence[str], download_folder: Path, limits: DownloadLimits
    ) -> None:
        self._roots = [root.resolve() for root in roots]
        self._hosts = {host.lower() for host in hosts}
        try:
            shutil.rmtree(download_folder, ignore_errors=True)  # what a crash has left there
            download_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(f"the download folder {download_folder} cannot be made: {error.strerror}") from None
        self._download_folder = download_folder
        self._limits = limits

    def check(self, uri: str) -> None:
        """Refuse what can be seen to be wrong without reading it."""
        if _is_url(uri):
            self._check_host(uri)
        else:
            with _readable(uri):
                self._local(uri)

    @asynccontextmanager
    async def open(self, uri: str) -> AsyncIterator[SourceFile]:
        """The file at hand with its digest; a download is gone again afterwards."""
        if not _is_url(uri):
            with _readable(uri):
                path = await asyncio.to_thread(self._local, uri)
                source = await _source_file(path, path.name)
            yield source
            return
        with tempfile.TemporaryDirectory(dir=self._download_folder) as folder:
            path = Path(folder) / "video"
            await self._download(uri, path)
            name = (Path(unquote(urlsplit(uri).path)).name or urlsplit(uri).netloc)[:MAX_NAME_LENGTH]
            yield await _source_file(path, name)

    def _local(self, uri: str) -> Path:
        if not uri.startswith("/") or "\0" in uri:
            raise InvalidInputError(f"uri {uri!r} must be an absolute path or an http(s) URL")
        path = Path(os.path.realpath(uri))  # symbolic links are followed before the roots are compared
        if not any(path.is_relative_to(root) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none"
            raise InvalidInputError(f"{uri} is outside of the indexer's allowed roots ({allowed})")
        if path.is_dir():
            raise InvalidInputError(f"{uri} is a folder; index its files one by one")
        if not path.is_file():
            raise NotFoundError(f"the indexer finds no file {uri}")
        return path

    def _check_host(self, url: str) -> None:
        try:
            host = (urlsplit(url).hostname or "").lower()
        except ValueError as error:
            raise InvalidInputError(f"{url} is not a URL: {error}") from None
        if host not in self._hosts:
            allowed = ", ".join(sorted(self._hosts)) or "none"
            raise InvalidInputError(f"host {host!r} is not one of the indexer's allowed hosts ({allowed})")

    async def _download(self, url: str, path: Path) -> None:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(self._limits.max_s), httpx.AsyncClient(timeout=timeout, trust_env=False) as http:
                for _ in range(MAX_REDIRECTS + 1):
                    self._check_host(url)
                    async with http.stream("GET", url) as response:
                        if response.next_request is None:
                            _refuse_failure(response)
                            await self._save(response, path)
                            return
                        url = str(response.next_request.url)
                raise InvalidInputError(f"{url} redirects more than {MAX_REDIRECTS} times")
        except TimeoutError:
            raise InvalidInputError(
                f"{url} took longer to download than the {self._limits.max_s:g} s that the indexer allows"
            ) from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise UnavailableError(f"{url} cannot be downloaded: {error or type(error).__name__}") from None

    async def _save(self, response: httpx.Response, path: Path) -> None:
        size = 0
        with path.open("wb") as file:
            async for chunk in response.aiter_bytes(1 << 20):
                size += len(chunk)
                if size > self._limits.max_bytes:
                    raise InvalidInputError(
                        f"{response.url} is larger than the {self._limits.max_bytes} bytes that the indexer allows"
                    )
                await asyncio.to_thread(file.write, chunk)


@contextmanager
def _readable(uri: str) -> Iterator[None]:
    """What the operating system refuses is told as a fault of the uri."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(f"{uri[:200]} cannot be read by the indexer: {error.strerror}") from None


def _refuse_failure(response: httpx.Response) -> None:
    status = f"{response.url} answered {response.status_code} {response.reason_phrase}"
    if response.status_code in (404, 410):
        raise NotFoundError(status)
    if response.status_code in (408, 429) or response.is_server_error:
        raise UnavailableError(status)
    if not response.is_success:
        raise InvalidInputError(status)


def _is_url(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


async def _source_file(path: Path, name: str) -> SourceFile:
    stamp = _stamp(path)
    if not stamp[0]:
        raise InvalidInputError(f"{name} is empty")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        # In parts, so that a job that is cancelled while it reads a huge file ends soon.
        while part := await asyncio.to_thread(file.read, PART_BYTES):
            await asyncio.to_thread(digest.update, part)
    return SourceFile(path, name, digest.hexdigest(), stamp)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
