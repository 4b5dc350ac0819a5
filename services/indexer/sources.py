"""Where videos come from: files under allowed roots, http(s) URLs, objects of stores, and uploads."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from services.common.errors import InvalidInputError, NotFoundError, OverloadedError, PreconditionError
from services.common.stages import stage
from services.indexer.jobs import UPLOAD
from services.indexer.spool import Part, Spool

PART_BYTES = 16 << 20

MAX_NAME_LENGTH = 255
"""As of a file: a name becomes the title of a video that has no other, and a URL may be longer than titles may."""


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


class Digests(Protocol):
    """Digests of files that have been read before, while their stamps are the same. May block on the disk."""

    def known(self, path: str, stamp: tuple[int, int]) -> str | None: ...

    def remember(self, path: str, stamp: tuple[int, int], sha256: str) -> None: ...


class Fetcher(Protocol):
    """A way to what lies elsewhere."""

    def check(self, uri: str) -> object:
        """Refuse what can be seen to be wrong without asking for it."""

    async def fetch(self, uri: str, part: Part) -> None:
        """Bring the part to its end."""


class LocalFiles:
    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [root.resolve() for root in roots]

    def find(self, uri: str) -> Path:
        if "\0" in uri:
            raise InvalidInputError(f"uri {uri!r} has a NUL in it")
        path = Path(os.path.realpath(uri))  # symbolic links are followed before the roots are compared
        if not any(path.is_relative_to(root) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none"
            raise InvalidInputError(f"uri {uri} is outside of the indexer's allowed roots ({allowed})")
        if not _is_text(path):
            raise InvalidInputError(f"uri {uri} leads to a name that is no UTF-8: rename it")
        if path.is_dir():
            raise InvalidInputError(f"uri {uri} is a folder; index its files one by one")
        if not path.is_file():
            raise NotFoundError(f"the indexer finds no file {uri}")
        return path


@dataclass(frozen=True, slots=True)
class Sources:
    files: LocalFiles
    downloads: Fetcher
    objects: Fetcher
    spool: Spool
    digests: Digests
    max_download_s: float

    def check(self, uri: str) -> None:
        """Refuse what can be seen to be wrong without reading it."""
        if uri.startswith(UPLOAD):
            raise InvalidInputError(f"uri {uri!r}: send a video with UploadVideo")
        if uri.startswith("/"):
            with _readable(uri):
                self.files.find(uri)
        else:
            self._fetcher(uri).check(uri)

    @asynccontextmanager
    async def open(self, uri: str, job_id: str, *, fresh: bool) -> AsyncIterator[SourceFile]:
        """The file at hand with its digest, which is computed even if it is known when it has to be `fresh`.

        What is fetched for a job is kept until it is discarded; a fetch that broke off goes on.
        """
        with stage("fetch"), _readable(uri):
            path = await self._at_hand(uri, job_id)
            name = path.name if uri.startswith("/") else _name(uri)
            source = await self._source_file(path, name, fresh=fresh)
        yield source

    def discard(self, job_id: str) -> None:
        """Remove what is kept on disk for a job."""
        self.spool.discard(job_id)

    def retain(self, job_ids: Collection[str]) -> None:
        """Remove what an earlier run of the service has left on disk for other jobs than these."""
        self.spool.retain(job_ids)

    def _fetcher(self, uri: str) -> Fetcher:
        return self.downloads if uri.startswith(("http://", "https://")) else self.objects

    async def _at_hand(self, uri: str, job_id: str) -> Path:
        if uri.startswith("/"):
            return await asyncio.to_thread(self.files.find, uri)
        path = self.spool.video(job_id)
        if not path.exists():
            if uri.startswith(UPLOAD):
                raise PreconditionError(f"the bytes of {uri} are gone; upload them again")
            await self._fetch(uri, job_id)
        return path

    async def _fetch(self, uri: str, job_id: str) -> None:
        part, fetcher = await asyncio.to_thread(Part, self.spool, job_id), self._fetcher(uri)
        try:
            async with asyncio.timeout(self.max_download_s):
                await asyncio.to_thread(fetcher.check, uri)
                await fetcher.fetch(uri, part)
        except TimeoutError:
            raise InvalidInputError(
                f"{uri} took longer to download than the {self.max_download_s:g} s that the indexer allows"
            ) from None
        except OverloadedError:
            await asyncio.to_thread(self.discard, job_id)  # jobs that all hold on to their parts would wait for ever
            raise
        await asyncio.to_thread(part.finish)

    async def _source_file(self, path: Path, name: str, *, fresh: bool) -> SourceFile:
        stamp = _stamp(path)
        if not stamp[0]:
            raise InvalidInputError(f"{name} is empty")
        known = None if fresh else await asyncio.to_thread(self.digests.known, str(path), stamp)
        if known:
            return SourceFile(path, name, known, stamp)
        sha256 = await _digest(path)
        if _stamp(path) == stamp:
            await asyncio.to_thread(self.digests.remember, str(path), stamp, sha256)
        return SourceFile(path, name, sha256, stamp)


@contextmanager
def _readable(uri: str) -> Iterator[None]:
    """What the operating system refuses is told as a fault of the uri."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(f"{uri[:200]} cannot be read by the indexer: {error.strerror}") from None


def _is_text(path: Path) -> bool:
    """Whether databases and messages take it: a uri is text always, but a link may lead anywhere."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _name(uri: str) -> str:
    if uri.startswith(UPLOAD):
        return uri.removeprefix(UPLOAD)
    parts = urlsplit(uri)
    return (Path(unquote(parts.path)).name or parts.netloc)[:MAX_NAME_LENGTH]


async def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        # In parts, so that a job that is cancelled while it reads a huge file ends soon.
        while part := await asyncio.to_thread(file.read, PART_BYTES):
            await asyncio.to_thread(digest.update, part)
    return digest.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
