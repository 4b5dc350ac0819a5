"""Only what the operator allows is read, and a file that is known is not read again."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import InvalidInputError, NotFoundError, OverloadedError, PreconditionError, StartupError
from services.indexer.database import Database
from services.indexer.spool import Part, Spool
from tests.sources import Site, site_on_loopback, sources_with

CONTENT = b"bytes of a video" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "data")
    yield database
    database.close()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file in an allowed root that has not changed for a while."""
    film = tmp_path / "videos" / "film.mp4"
    film.parent.mkdir()
    _write(film, CONTENT)
    return film


def _write(film: Path, content: bytes, changed_s: float = 1e9) -> None:
    film.write_bytes(content)
    os.utime(film, (changed_s, changed_s))


@pytest.fixture
def site() -> Iterator[Site]:
    with site_on_loopback() as site:
        yield site


async def test_a_file_is_known_by_the_digest_of_its_bytes(database: Database, tmp_path: Path, film: Path) -> None:
    async with sources_with(database, tmp_path).open(str(film), "job", fresh=False) as source:
        assert (source.sha256, source.name) == (DIGEST, "film.mp4")


async def test_a_file_whose_stamp_is_known_is_not_read_again(database: Database, tmp_path: Path, film: Path) -> None:
    sources = sources_with(database, tmp_path)
    async with sources.open(str(film), "job", fresh=False):
        _write(film, CONTENT[::-1])
    async with sources.open(str(film), "job", fresh=False) as source:
        assert source.sha256 == DIGEST
    async with sources.open(str(film), "job", fresh=True) as source:
        assert source.sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()


async def test_a_file_that_has_changed_is_read_again(database: Database, tmp_path: Path, film: Path) -> None:
    sources = sources_with(database, tmp_path)
    async with sources.open(str(film), "job", fresh=False):
        _write(film, CONTENT[::-1], changed_s=1.1e9)
    async with sources.open(str(film), "job", fresh=False) as source:
        assert source.sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_a_path_outside_of_the_roots_is_refused(database: Database, tmp_path: Path, film: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(CONTENT)
    with pytest.raises(InvalidInputError, match="outside of the indexer's allowed roots"):
        sources_with(database, tmp_path).check(str(tmp_path / "secret.mp4"))


@pytest.mark.parametrize("path", ["{root}/../secret.mp4", "{root}/link.mp4", "{root}2/secret.mp4"])
def test_no_detour_leads_out_of_the_roots(database: Database, tmp_path: Path, film: Path, path: str) -> None:
    root = film.parent
    (tmp_path / "secret.mp4").write_bytes(CONTENT)
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "videos2").mkdir()
    (tmp_path / "videos2" / "secret.mp4").write_bytes(CONTENT)
    with pytest.raises(InvalidInputError, match="outside"):
        sources_with(database, tmp_path).check(path.format(root=root))


def test_a_missing_file_is_not_found(database: Database, tmp_path: Path, film: Path) -> None:
    with pytest.raises(NotFoundError, match=r"missing\.mp4"):
        sources_with(database, tmp_path).check(str(film.parent / "missing.mp4"))


def test_a_folder_is_refused(database: Database, tmp_path: Path, film: Path) -> None:
    with pytest.raises(InvalidInputError, match="folder"):
        sources_with(database, tmp_path).check(str(film.parent))


def test_a_link_to_a_name_that_is_no_text_is_refused(database: Database, tmp_path: Path, film: Path) -> None:
    link, named = film.with_name("link.mp4"), film.rename(film.with_name(os.fsdecode(b"caf\xe9.mp4")))
    link.symlink_to(named)
    with pytest.raises(InvalidInputError, match="UTF-8"):
        sources_with(database, tmp_path).check(str(link))


@pytest.mark.parametrize("uri", ["film.mp4", "ftp://host/film.mp4", "file:///film.mp4", "memory://film.mp4"])
def test_a_uri_of_no_kind_that_is_allowed_is_refused(database: Database, tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidInputError, match="absolute path, an http"):
        sources_with(database, tmp_path).check(uri)


def test_a_path_with_a_nul_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="NUL"):
        sources_with(database, tmp_path).check("/a\0b")


def test_an_upload_cannot_be_asked_for_by_its_uri(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="UploadVideo"):
        sources_with(database, tmp_path).check("upload:film.mp4")


async def test_an_empty_file_is_refused(database: Database, tmp_path: Path, film: Path) -> None:
    _write(film, b"")
    with pytest.raises(InvalidInputError, match="empty"):
        async with sources_with(database, tmp_path).open(str(film), "job", fresh=False):
            pass


async def test_a_file_that_changes_while_it_is_read_is_refused(database: Database, tmp_path: Path, film: Path) -> None:
    async with sources_with(database, tmp_path).open(str(film), "job", fresh=False) as source:
        _write(film, CONTENT + b"more")
        with pytest.raises(PreconditionError, match="changed while it was indexed"):
            source.refuse_if_changed()


async def test_an_upload_is_at_hand_for_its_job_under_its_name(database: Database, tmp_path: Path) -> None:
    sources = sources_with(database, tmp_path)
    part = Part(sources.spool, "job")
    part.begin()
    part.append(CONTENT)
    part.finish()
    async with sources.open("upload:holiday.mp4", "job", fresh=False) as source:
        assert (source.sha256, source.name, source.path.read_bytes()) == (DIGEST, "holiday.mp4", CONTENT)


async def test_an_upload_that_is_gone_says_so(database: Database, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="upload them again"):
        async with sources_with(database, tmp_path).open("upload:holiday.mp4", "job", fresh=False):
            pass


async def test_a_download_is_kept_until_it_is_discarded(database: Database, tmp_path: Path, site: Site) -> None:
    sources = sources_with(database, tmp_path, max_bytes=2 * 10**6)
    for _ in range(2):
        async with sources.open(f"{site.url}?token=1", "job", fresh=False) as source:
            assert (source.path.read_bytes(), source.name) == (site.content, "film.mp4")
    assert len(site.asked) == 1
    sources.discard("job")
    assert not source.path.exists()


async def test_a_download_s_name_is_no_longer_than_a_file_s(database: Database, tmp_path: Path, site: Site) -> None:
    url = site.url.replace("film.mp4", "n" * 2000)
    async with sources_with(database, tmp_path, max_bytes=2 * 10**6).open(url, "job", fresh=False) as source:
        assert source.name == "n" * 255


async def test_a_download_that_finds_no_room_leaves_its_own_to_others(
    database: Database, tmp_path: Path, site: Site
) -> None:
    sources = sources_with(database, tmp_path, max_spool_bytes=1_500_000, max_bytes=2 * 10**6)
    sources.spool.reserve("other", 1_000_000)
    with pytest.raises(OverloadedError, match="is full"):
        async with sources.open(site.url, "job", fresh=False):
            pass
    sources.spool.reserve("third", 500_000)


def test_a_restarted_spool_counts_and_retains_what_jobs_still_need(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 100, 100)
    for job_id in ("wanted", "forgotten"):
        part = Part(spool, job_id)
        part.begin()
        part.append(b"x" * 40)
        part.finish()
    again = Spool(tmp_path / "spool", 100, 100)
    with pytest.raises(OverloadedError):
        again.reserve("new", 50)
    again.retain({"wanted"})
    again.reserve("new", 50)
    assert again.video("wanted").read_bytes() == b"x" * 40
    assert not again.video("forgotten").exists()


def test_what_came_after_the_start_is_not_taken_for_a_remnant(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 100, 100)
    part = Part(spool, "uploading")
    part.begin()
    spool.retain(())
    part.append(b"x")
    assert part.finish().read_bytes() == b"x"


def test_a_full_disk_is_told_as_something_that_passes(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 100, 100)
    (tmp_path / "spool" / "job").mkdir()
    (tmp_path / "spool" / "job" / "part").symlink_to("/dev/full")  # refuses to be written to, as a full disk does
    part = Part(spool, "job")
    part.begin()
    with pytest.raises(OverloadedError, match="disk for uploads and downloads is full"):
        part.append(b"x")


def test_a_spool_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="spool folder"):
        Spool(tmp_path / "file" / "spool", 100, 100)
