"""Downloads from real servers on loopback: whole or not at all, and only from where the operator allows."""

import asyncio
import datetime
import socket
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.errors import InvalidInputError, NotFoundError, UnavailableError
from services.indexer import download
from services.indexer.download import Downloads
from services.indexer.spool import Part, Spool
from tests.sources import LOOPBACK, Site, site_on_loopback

MAX_BYTES = 2_000_000
PRIVATE_HOSTS = [
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0.0.0.0", "10.1.2.3", "172.16.0.1",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1",
    "::1", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::1", "fe80::1", "fc00::1",
    "fec0::1", "ff02::1", "2001:db8::1", "2001::1",
]  # fmt: skip
LAST_MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.01)


@pytest.fixture
def site() -> Iterator[Site]:
    with site_on_loopback() as site:
        yield site


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", 10 * MAX_BYTES, MAX_BYTES)


@cache
def downloads(*hosts: str, networks: tuple[str, ...] = (LOOPBACK,)) -> Downloads:
    return Downloads(hosts or ("127.0.0.1",), [ip_network(network) for network in networks])


async def fetched(url: str, spool: Spool) -> bytes:
    part = Part(spool, "job")
    await downloads().fetch(url, part)
    return part.finish().read_bytes()


async def test_a_file_is_fetched_whole_and_as_it_is(site: Site, spool: Spool) -> None:
    assert await fetched(site.url, spool) == site.content
    assert site.asked[0]["Accept-Encoding"] == "identity"


async def test_a_file_of_untold_length_is_fetched_whole(site: Site, spool: Spool) -> None:
    site.tells_length = False
    assert await fetched(site.url, spool) == site.content


@pytest.mark.parametrize("headers", [{"ETag": '"first"'}, {"Last-Modified": LAST_MODIFIED}])
async def test_a_broken_transfer_goes_on_where_it_stopped(site: Site, spool: Spool, headers: dict[str, str]) -> None:
    site.headers, site.breaks = headers, [1 << 20 | 1, 100]
    site.content = bytes(range(256)) * 7000
    assert await fetched(site.url, spool) == site.content
    (validator,) = headers.values()
    asked = [(request.get("Range"), request.get("If-Range")) for request in site.asked]
    assert asked[0] == (None, None)
    assert asked[-1] == ("bytes=1048576-", validator)


async def test_the_next_run_goes_on_where_a_killed_one_stopped(site: Site, spool: Spool, tmp_path: Path) -> None:
    left = Part(spool, "job")
    left.begin('"first"')
    left.append(site.content[:1000])
    again = Spool(tmp_path / "spool", 10 * MAX_BYTES, MAX_BYTES)
    assert await fetched(site.url, again) == site.content
    assert [request.get("Range") for request in site.asked] == ["bytes=1000-"]


async def test_a_file_that_was_all_there_is_not_fetched_again(site: Site, spool: Spool) -> None:
    left = Part(spool, "job")
    left.begin('"first"')
    left.append(site.content)
    assert await fetched(site.url, spool) == site.content
    assert len(site.asked) == 1


@pytest.mark.parametrize("tag", ["", '"older"'])
async def test_a_file_that_may_have_changed_is_fetched_from_its_start(site: Site, spool: Spool, tag: str) -> None:
    left = Part(spool, "job")
    left.begin(tag)
    left.append(b"x" * 1000)
    assert await fetched(site.url, spool) == site.content


async def test_a_weak_etag_is_no_reason_to_go_on(site: Site, spool: Spool) -> None:
    site.headers = {"ETag": 'W/"first"', "Last-Modified": LAST_MODIFIED}
    site.content = bytes(range(256)) * 7000
    site.breaks = [1 << 20 | 1]
    assert await fetched(site.url, spool) == site.content
    assert [request.get("Range") for request in site.asked] == [None, None]


async def test_a_server_without_ranges_is_asked_for_the_whole_again(site: Site, spool: Spool) -> None:
    site.ignores_ranges = True
    site.content = bytes(range(256)) * 7000
    site.breaks = [1 << 20 | 1]
    assert await fetched(site.url, spool) == site.content


async def test_a_file_that_has_shrunk_is_fetched_from_its_start(site: Site, spool: Spool) -> None:
    left = Part(spool, "job")
    left.begin('"first"')
    left.append(b"x" * (len(site.content) + 1))
    assert await fetched(site.url, spool) == site.content


@pytest.mark.parametrize("told", ["bytes 5-9/1024000", "bytes */1024000", "nonsense", ""])
async def test_another_range_than_asked_for_is_not_appended(site: Site, spool: Spool, told: str) -> None:
    left = Part(spool, "job")
    left.begin('"first"')
    left.append(site.content[:1000])
    site.headers = {"ETag": '"first"', "Content-Range": told}
    assert await fetched(site.url, spool) == site.content
    assert [request.get("Range") for request in site.asked] == ["bytes=1000-", None]


async def test_a_transfer_that_never_gets_on_is_given_up(site: Site, spool: Spool) -> None:
    site.breaks = [100] * 10
    with pytest.raises(UnavailableError, match="cannot be downloaded"):
        await fetched(site.url, spool)
    assert len(site.asked) == download.MAX_BREAKS


async def test_a_length_over_the_limit_is_refused_before_the_bytes_come(site: Site, spool: Spool) -> None:
    site.headers = {"Content-Length": str(MAX_BYTES + 1)}
    with pytest.raises(InvalidInputError, match=f"larger than the {MAX_BYTES} bytes that the indexer allows"):
        await fetched(site.url, spool)
    assert Part(spool, "job").size == 0


async def test_an_endless_body_is_refused_at_the_limit(site: Site, spool: Spool) -> None:
    site.tells_length, site.content = False, b"x" * (MAX_BYTES + (8 << 20))
    with pytest.raises(InvalidInputError, match="larger than"):
        await fetched(site.url, spool)
    assert Part(spool, "job").size <= MAX_BYTES


async def test_an_encoding_that_was_not_asked_for_is_refused(site: Site, spool: Spool) -> None:
    site.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(InvalidInputError, match="encoding gzip"):
        await fetched(site.url, spool)


@pytest.mark.parametrize(
    ("status", "headers", "error", "message"),
    [
        (302, {"Location": "http://elsewhere.invalid/film.mp4"}, InvalidInputError, "elsewhere.invalid"),
        (302, {"Location": "/film.mp4"}, InvalidInputError, "redirects more than"),
        (302, {"Location": "http://a:b/"}, UnavailableError, "Invalid URL"),
        (302, {"Location": "file:///etc/passwd"}, InvalidInputError, "not an http"),
        (404, {}, NotFoundError, "404"),
        (403, {}, InvalidInputError, "403"),
        (503, {}, UnavailableError, "503"),
        (416, {}, UnavailableError, "another part"),
    ],
)
async def test_a_download_that_cannot_be_had_says_why(
    site: Site, spool: Spool, status: int, headers: dict[str, str], error: type[Exception], message: str
) -> None:
    site.status, site.headers = status, headers
    with pytest.raises(error, match=message):
        await fetched(site.url, spool)


async def test_a_failing_server_does_not_cost_what_is_there(site: Site, spool: Spool) -> None:
    left = Part(spool, "job")
    left.begin('"first"')
    left.append(site.content[:1000])
    site.status = 503
    with pytest.raises(UnavailableError):
        await fetched(site.url, spool)
    assert Part(spool, "job").size == 1000


async def test_a_redirect_to_an_allowed_host_is_followed(site: Site, spool: Spool) -> None:
    with site_on_loopback() as front:
        front.status, front.headers = 307, {"Location": site.url}
        assert await fetched(front.url, spool) == site.content


async def test_a_redirect_into_a_private_network_is_refused(site: Site, spool: Spool) -> None:
    site.status, site.headers = 302, {"Location": "http://10.0.0.1/film.mp4"}
    with pytest.raises(InvalidInputError, match=r"private address 10\.0\.0\.1"):
        await downloads("127.0.0.1", "10.0.0.1").fetch(site.url, Part(spool, "job"))


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
async def test_a_private_address_is_refused_however_it_is_written(spool: Spool, host: str) -> None:
    url = f"http://[{host}]:9/" if ":" in host else f"http://{host}:9/"
    with pytest.raises(InvalidInputError, match="private address"):
        await downloads(*PRIVATE_HOSTS, networks=()).fetch(url, Part(spool, "job"))


async def test_every_address_of_a_name_must_be_allowed(
    site: Site, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve(monkeypatch, {"videos.example": ["127.0.0.1", "10.0.0.1"]})
    with pytest.raises(InvalidInputError, match=r"private address 10\.0\.0\.1"):
        await downloads("videos.example").fetch(_renamed(site), Part(spool, "job"))
    assert not site.asked


async def test_a_name_is_looked_up_once_and_told_to_the_server(
    site: Site, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _resolve(monkeypatch, {"videos.example": ["127.0.0.1"]})
    await downloads("videos.example").fetch(_renamed(site), Part(spool, "job"))
    assert asked == ["videos.example"]
    assert site.asked[0]["Host"].startswith("videos.example:")


async def test_the_next_address_is_tried_when_one_is_dead(
    site: Site, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve(monkeypatch, {"videos.example": ["127.0.0.99", "127.0.0.1"]})
    part = Part(spool, "job")
    await downloads("videos.example").fetch(_renamed(site), part)
    assert part.size == len(site.content)


async def test_a_name_that_nobody_knows_is_unavailable(spool: Spool) -> None:
    with pytest.raises(UnavailableError, match="not known"):
        await downloads("nobody.invalid").fetch("http://nobody.invalid/film.mp4", Part(spool, "job"))


@pytest.mark.parametrize(
    "url", ["http://[", "http://a:b/", "http:///film.mp4", "http://vid\neos/", "http://a:65536/", "http://a:-1/"]
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        downloads("a").check(url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.2/", "http://127.0.0.1@evil.example/", "http://127.0.0.1\\@evil.example/", "http://127.0.0.1.x/"],
)
def test_a_host_that_is_not_allowed_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="not one of the indexer's allowed hosts"):
        downloads().check(url)


async def test_a_server_that_does_not_answer_is_unavailable(spool: Spool) -> None:
    with pytest.raises(UnavailableError, match="cannot be downloaded"):
        await fetched("http://127.0.0.1:9/film.mp4", spool)


@pytest.mark.parametrize(("named", "trusted"), [("videos.example", True), ("other.example", False)])
async def test_tls_verifies_the_name_and_not_the_address(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, trusted: bool
) -> None:
    certificate = _certificate(tmp_path, "videos.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    _resolve(monkeypatch, {named: ["127.0.0.1"]})
    with site_on_loopback(certificate) as site:
        fetch = Downloads([named], [ip_network(LOOPBACK)]).fetch(
            site.url.replace("127.0.0.1", named), part := Part(spool, "job")
        )
        if trusted:
            await fetch
            assert part.size == len(site.content)
        else:
            with pytest.raises(UnavailableError, match=r"not valid for 'other\.example'"):
                await fetch


def _renamed(site: Site) -> str:
    return site.url.replace("127.0.0.1", "videos.example")


def _resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Answer for the names in place of DNS; returns the names asked for, as they come."""
    asked = []

    async def answer(self, host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    real = socket.getaddrinfo

    def only_addresses(host, *arguments, **named):
        assert host not in names, "looked up a second time"
        return real(host, *arguments, **named)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    monkeypatch.setattr(socket, "getaddrinfo", only_addresses)
    return asked


def _certificate(folder: Path, name: str) -> Path:
    """A certificate for a name that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(pem, form, secret) + certificate.public_bytes(pem))
    return path
