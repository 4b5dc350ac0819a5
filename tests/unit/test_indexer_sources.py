"""Only what the operator allows is read; downloads come from real HTTP servers on loopback."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.common.errors import InvalidInputError, NotFoundError, PreconditionError, UnavailableError
from services.indexer.sources import DownloadLimits, Sources

CONTENT = b"bytes of a video" * 1000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = ANSWERS[self.path.split("?")[0]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/film.mp4": (200, {}, CONTENT),
    "/moved": (302, {"Location": "/film.mp4"}, b""),
    "/away": (302, {"Location": "http://elsewhere.invalid/film.mp4"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
    "/broken": (503, {}, b""),
    "/" + "n" * 2000: (200, {}, CONTENT),
    "/missing": (404, {}, b""),
    "/forbidden": (403, {}, b""),
}


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "film.mp4").write_bytes(CONTENT)
    return root


def _sources(root: Path, *, max_bytes: int = 10**6, hosts: tuple[str, ...] = ("127.0.0.1",)) -> Sources:
    return Sources([root], hosts, root.parent / "downloads", DownloadLimits(max_bytes, 10.0))


async def test_a_file_is_known_by_the_digest_of_its_bytes(root: Path) -> None:
    async with _sources(root).open(str(root / "film.mp4")) as source:
        assert source.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert source.name == "film.mp4"


def test_a_path_outside_of_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(CONTENT)
    with pytest.raises(InvalidInputError, match="outside of the indexer's allowed roots"):
        _sources(root).check(str(tmp_path / "secret.mp4"))


@pytest.mark.parametrize("path", ["{root}/../secret.mp4", "{root}/link.mp4", "{root}2/secret.mp4"])
def test_no_detour_leads_out_of_the_roots(root: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.mp4").write_bytes(CONTENT)
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "secret.mp4").write_bytes(CONTENT)
    with pytest.raises(InvalidInputError, match="outside"):
        _sources(root).check(path.format(root=root))


def test_a_missing_file_is_not_found(root: Path) -> None:
    with pytest.raises(NotFoundError, match=r"missing\.mp4"):
        _sources(root).check(str(root / "missing.mp4"))


def test_a_folder_is_refused(root: Path) -> None:
    with pytest.raises(InvalidInputError, match="folder"):
        _sources(root).check(str(root))


@pytest.mark.parametrize("uri", ["film.mp4", "ftp://host/film.mp4", "file:///film.mp4", "/a\0b"])
def test_a_malformed_uri_is_refused(root: Path, uri: str) -> None:
    with pytest.raises(InvalidInputError, match="absolute path or an http"):
        _sources(root).check(uri)


async def test_an_empty_file_is_refused(root: Path) -> None:
    (root / "empty.mp4").touch()
    with pytest.raises(InvalidInputError, match="empty"):
        async with _sources(root).open(str(root / "empty.mp4")):
            pass


async def test_a_file_that_changes_while_it_is_read_is_refused(root: Path) -> None:
    async with _sources(root).open(str(root / "film.mp4")) as source:
        with (root / "film.mp4").open("ab") as file:
            file.write(b"more")
        with pytest.raises(PreconditionError, match="changed while it was indexed"):
            source.refuse_if_changed()


async def test_a_download_is_at_hand_until_it_is_no_longer_needed(root: Path, site: str) -> None:
    async with _sources(root).open(f"{site}/film.mp4?token=1") as source:
        assert source.path.read_bytes() == CONTENT
        assert source.name == "film.mp4"
    assert not source.path.exists()


async def test_a_download_s_name_is_no_longer_than_a_file_s(root: Path, site: str) -> None:
    async with _sources(root).open(f"{site}/{'n' * 2000}") as source:
        assert source.name == "n" * 255


async def test_a_redirect_to_an_allowed_host_is_followed(root: Path, site: str) -> None:
    async with _sources(root).open(f"{site}/moved") as source:
        assert source.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/away", InvalidInputError, "elsewhere.invalid"),
        ("/round", InvalidInputError, "redirects more than"),
        ("/missing", NotFoundError, "404"),
        ("/forbidden", InvalidInputError, "403"),
        ("/broken", UnavailableError, "503"),
    ],
)
async def test_a_download_that_cannot_be_had_says_why(
    root: Path, site: str, path: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        async with _sources(root).open(site + path):
            pass


async def test_a_download_over_the_limit_is_refused(root: Path, site: str) -> None:
    with pytest.raises(InvalidInputError, match="larger than the 1000 bytes that the indexer allows"):
        async with _sources(root, max_bytes=1000).open(f"{site}/film.mp4"):
            pass


def test_a_host_that_is_not_allowed_is_refused(root: Path, site: str) -> None:
    with pytest.raises(InvalidInputError, match="not one of the indexer's allowed hosts"):
        _sources(root, hosts=("videos.example",)).check(f"{site}/film.mp4")


async def test_a_server_that_does_not_answer_is_unavailable(root: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be downloaded"):
        async with _sources(root).open("http://127.0.0.1:9/film.mp4"):
            pass
