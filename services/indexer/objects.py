"""Objects of stores such as S3, which fsspec knows by the protocol of their URL."""

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from services.common.errors import InvalidInputError, NotFoundError, StartupError, UnavailableError, VideosearchError
from services.indexer.metrics import RECEIVED_BYTES
from services.indexer.spool import Part

T = TypeVar("T")

CHUNK_BYTES = 16 << 20
NOT_STORES = ("file", "http", "https", "local", "memory")
URL = re.compile(r"[a-z][a-z0-9+-]*://[^\x00-\x1f?#*\\]+")


class Objects:
    def __init__(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            if not _is_plain(prefix) or not prefix.endswith("/") or prefix.startswith(NOT_STORES):
                raise StartupError(
                    f"object prefix {prefix!r} must be a store's URL that ends with a slash, such as s3://bucket/"
                )
        self._prefixes = tuple(prefixes)

    def check(self, uri: str) -> None:
        """InvalidInputError for what is not under an allowed prefix, or needs a library that is not installed."""
        if not _is_plain(uri) or not uri.startswith(self._prefixes):
            allowed = ", ".join(self._prefixes) or "none"
            raise InvalidInputError(
                f"uri {uri!r} must be an absolute path, an http(s) URL,"
                f" or an object under one of the indexer's allowed prefixes ({allowed})"
            )
        try:
            import fsspec

            fsspec.get_filesystem_class(uri.partition("://")[0])
        except (ImportError, ValueError) as error:
            raise InvalidInputError(f"{uri} needs what is not installed with the indexer: {error}") from None

    async def fetch(self, uri: str, part: Part) -> None:
        """Bring the part to its end, from where an earlier attempt has left it if the object is still the same."""
        store, path = await _ask(uri, partial(_located, uri))
        size, version = await _ask(uri, partial(_look, store, path))
        part.expect(size)
        if not part.size or part.tag != version:
            await asyncio.to_thread(part.begin, version)
        while part.size < size:
            end = min(size, part.size + CHUNK_BYTES)
            data = await _ask(uri, partial(store.cat_file, path, start=part.size, end=end))
            if not data:
                break
            await asyncio.to_thread(part.append, data)
            RECEIVED_BYTES.labels("object").inc(len(data))
        if part.size != size or await _ask(uri, partial(_look, store, path)) != (size, version):
            await asyncio.to_thread(part.begin)
            raise UnavailableError(f"{uri} changed while it was fetched")


def _is_plain(url: str) -> bool:
    """Whether the URL can be compared with a prefix: no way up, no chain of file systems, no query, no pattern."""
    return bool(URL.fullmatch(url)) and "::" not in url and not {"..", "."} & set(url.split("/"))


def _located(uri: str) -> tuple[Any, str]:
    """The store, with the credentials and options of the service's environment, and the object's path in it."""
    import fsspec

    store, path = fsspec.url_to_fs(uri)
    return store, path


def _look(store: Any, path: str) -> tuple[int, str]:
    """The object's size, and a name of its present version: all that the store tells of it."""
    store.invalidate_cache()
    info = store.info(path)
    if info["type"] != "file":
        raise InvalidInputError(f"{path} is a folder; index its objects one by one")
    return info["size"], repr(sorted(info.items()))


async def _ask(uri: str, question: Callable[[], T]) -> T:
    """Each store fails with errors of its own, so that anything but an answer is a failure of the store."""
    (answer,) = await asyncio.gather(asyncio.to_thread(question), return_exceptions=True)
    match answer:
        case VideosearchError():
            raise answer
        case FileNotFoundError():
            raise NotFoundError(f"the indexer finds no object {uri}")
        case PermissionError():
            raise InvalidInputError(f"the indexer may not read {uri}: {answer}")
        case Exception():
            raise UnavailableError(f"{uri} cannot be fetched: {type(answer).__name__}: {answer}") from answer
        case BaseException():
            raise answer
    return answer
