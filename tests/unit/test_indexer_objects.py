"""Objects from a real S3 server on loopback (moto's), and only those under an allowed prefix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from services.common.errors import InvalidInputError, NotFoundError, StartupError, UnavailableError
from services.indexer import objects
from services.indexer.objects import Objects
from services.indexer.spool import Part, Spool

CONTENT = bytes(range(256)) * 4000
URI = "s3://archive/films/a film.mp4"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the server, where the indexer's environment says that S3 is, with one film in it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(objects, "CHUNK_BYTES", 300_000)
    s3fs.S3FileSystem.clear_instance_cache()  # which has read the environment of the test before
    client = boto3.client("s3")
    client.create_bucket(Bucket="archive")
    client.put_object(Bucket="archive", Key="films/a film.mp4", Body=CONTENT)
    return client


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(Spool(tmp_path / "spool", 10**7, 2 * 10**6), "job")


def _put(s3: Any, content: bytes) -> None:
    s3.put_object(Bucket="archive", Key="films/a film.mp4", Body=content)


async def test_an_object_is_fetched_whole(s3: Any, part: Part) -> None:
    await Objects(["s3://archive/films/"]).fetch(URI, part)
    assert part.finish().read_bytes() == CONTENT


async def test_an_object_that_is_unchanged_is_gone_on_with(s3: Any, part: Part, tmp_path: Path) -> None:
    await Objects([]).fetch(URI, part)
    left = Part(Spool(tmp_path / "spool2", 10**7, 2 * 10**6), "job")
    left.begin(part.tag)
    left.append(b"x" * 1000)  # shows that it is not asked for again
    await Objects([]).fetch(URI, left)
    assert left.finish().read_bytes() == b"x" * 1000 + CONTENT[1000:]


async def test_an_object_that_has_changed_is_fetched_from_its_start(s3: Any, part: Part) -> None:
    part.begin("another version")
    part.append(b"x" * 1000)
    await Objects([]).fetch(URI, part)
    assert part.finish().read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[:700_000], CONTENT[:1000], CONTENT + b"more"])
async def test_an_object_that_changes_while_it_is_fetched_is_fetched_anew(
    s3: Any, part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    append = part.append

    def append_and_change(data: bytes) -> None:
        append(data)
        _put(s3, content)

    monkeypatch.setattr(part, "append", append_and_change)
    with pytest.raises(UnavailableError, match=r"changed while it was fetched|range is not satisfiable"):
        await Objects([]).fetch(URI, part)
    again = Part(Spool(tmp_path / "spool", 10**7, 2 * 10**6), "job")
    await Objects([]).fetch(URI, again)
    assert again.finish().read_bytes() == content


async def test_an_object_over_the_limit_is_refused_before_it_is_fetched(s3: Any, part: Part) -> None:
    _put(s3, b"x" * (2 * 10**6 + 1))
    with pytest.raises(InvalidInputError, match="larger than"):
        await Objects([]).fetch(URI, part)
    assert part.size == 0


@pytest.mark.parametrize("uri", ["s3://archive/films/missing.mp4", "s3://nowhere/film.mp4"])
async def test_a_missing_object_is_not_found(s3: Any, part: Part, uri: str) -> None:
    with pytest.raises(NotFoundError, match="finds no object"):
        await Objects([]).fetch(uri, part)


async def test_a_folder_of_objects_is_refused(s3: Any, part: Part) -> None:
    with pytest.raises(InvalidInputError, match="folder"):
        await Objects([]).fetch("s3://archive/films", part)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://other/film.mp4", "s3://archive/film.mp4", "s3://archive/films2/film.mp4", "s3://archive/films/../x.mp4",
        "s3://archive/films/./x.mp4", "s3://archive/films/x::file:///etc/passwd", "s3://archive/films/x?versionId=1",
        "simplecache::s3://archive/films/x", "S3://archive/films/x", "s3://archive/films/x#1", "s3://archive/films/*",
        "file:///etc/passwd", "memory://x", "local:///etc/passwd", "s3:archive/films/x", "s3://archive/films/\n",
    ],
)  # fmt: skip
def test_what_is_not_under_an_allowed_prefix_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInputError, match="allowed prefixes"):
        Objects(["s3://archive/films/"]).check(uri)


def test_what_is_under_an_allowed_prefix_passes() -> None:
    Objects(["s3://archive/films/", "s3://more/"]).check("s3://more/2024/a film (1) 100%.mp4")


@pytest.mark.parametrize(
    "prefix", ["s3://archive", "archive/", "file:///", "http://host/", "memory://x/", "s3://a/../", "zip::s3://a/"]
)
def test_a_prefix_that_is_no_store_s_stops_the_start(prefix: str) -> None:
    with pytest.raises(StartupError, match="object prefix"):
        Objects([prefix])


def test_a_store_whose_library_is_missing_is_refused_at_once() -> None:
    with pytest.raises(InvalidInputError, match="not installed with the indexer"):
        Objects(["gs://films/"]).check("gs://films/film.mp4")


async def test_an_object_that_may_not_be_read_says_so(s3: Any, endpoint: str, part: Part) -> None:
    async with httpx.AsyncClient(base_url=endpoint) as server:
        await server.post("/moto-api/reset-auth", content="0")  # from here on the server knows nobody
        with pytest.raises(InvalidInputError, match="may not read"):
            await Objects([]).fetch(URI, part)
        await server.post("/moto-api/reset-auth", content="inf")


async def test_any_other_failure_of_the_store_is_told(s3: Any, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UnavailableError, match="NoCredentialsError"):
        await Objects([]).fetch(URI, part)
