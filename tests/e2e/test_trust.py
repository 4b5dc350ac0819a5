"""The whole system with all that guards it: TLS both ways, and a token for each role."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from services.common.access import Caller, line_of
from services.common.clients.credentials import Credentials
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from services.common.jobs import JobState
from services.common.methods import Role
from services.common.ranking import VideoRanking
from tests.certificates import Authority
from tests.secured import TOKENS
from tests.videos import write_video
from tools.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRETS = (*TOKENS.values(), "PRIVATE KEY")


@dataclass(frozen=True)
class Guarded:
    stack: Stack
    person: Credentials
    """Of somebody who is let in, without a token."""
    folder: Path
    log: list[str]

    def holding(self, role: Role) -> Credentials:
        return replace(self.person, token=TOKENS[role])

    async def command(self, role: Role, *words: str) -> tuple[int | None, str]:
        """The exit status of a command of that person, and what it prints."""
        environment = self.stack.environment | {"VIDEOSEARCH_TOKEN_FILE": "", "VIDEOSEARCH_TOKEN": TOKENS[role]}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", *words),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "certificates")
    services, person = authority.issue("services"), authority.issue("person")
    (folder / "tokens").write_text("\n".join(line_of(Caller(f"{r.name}er", r), TOKENS[r]) for r in Role))
    (folder / "token").write_text(TOKENS[Role.WRITE])  # the services' own: the indexer writes into the store
    settings = {
        "VIDEOSEARCH_TLS_CERTIFICATE_FILE": str(services.certificate),
        "VIDEOSEARCH_TLS_KEY_FILE": str(services.key),
        "VIDEOSEARCH_TLS_CLIENT_CA_FILE": str(authority.file),
        "VIDEOSEARCH_TLS_CA_FILE": str(authority.file),
        "VIDEOSEARCH_TOKENS_FILE": str(folder / "tokens"),
        "VIDEOSEARCH_TOKEN_FILE": str(folder / "token"),
        "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(folder),
        "VIDEOSEARCH_EMBEDDER_BACK_END": "torch",  # nothing is compared at the start
        "VIDEOSEARCH_EMBEDDER_PRECISION": "float32",
        "VIDEOSEARCH_LOG_LEVEL": "debug",
    }
    log: list[str] = []
    credentials = Credentials(authority.file, person)
    stack = Stack(folder, log=lambda _, line: log.append(line), settings=settings, credentials=credentials)
    async with stack:
        yield Guarded(stack, credentials, folder, log)


async def test_a_video_is_indexed_and_found_by_those_who_may(guarded: Guarded) -> None:
    film = write_video(guarded.folder / "film.mp4", [10, 10])
    async with IndexerClient(guarded.stack.addresses["indexer"], guarded.holding(Role.WRITE)) as indexer:
        job = await indexer.index_video(str(film.path), video_id="film")
        *_, ended = [state async for state in indexer.watch_job(job.job_id)]
    assert ended.state is JobState.SUCCEEDED, ended.error
    async with SearchClient(guarded.stack.addresses["search"], guarded.holding(Role.READ)) as search:
        found = await search.search_videos("a color", VideoRanking())
    assert [hit.video.video_id for hit in found.hits] == ["film"]


async def test_each_service_refuses_a_caller_without_a_token(guarded: Guarded) -> None:
    async with SearchClient(guarded.stack.addresses["search"], guarded.person) as search:
        with pytest.raises(UnauthenticatedError):
            await search.search_videos("a color", VideoRanking())
    async with StoreClient(guarded.stack.addresses["store"], guarded.person) as store:
        with pytest.raises(UnauthenticatedError):
            await store.stats()


async def test_a_role_below_is_refused(guarded: Guarded) -> None:
    async with IndexerClient(guarded.stack.addresses["indexer"], guarded.holding(Role.READ)) as indexer:
        with pytest.raises(ForbiddenError, match="IndexVideo needs a token of the role write"):
            await indexer.index_video(str(guarded.folder / "film.mp4"))


async def test_a_caller_without_a_certificate_or_without_tls_is_not_connected(guarded: Guarded) -> None:
    for name, client_type in (("search", SearchClient), ("store", StoreClient), ("indexer", IndexerClient)):
        for credentials in (replace(guarded.person, identity=None), Credentials()):
            async with client_type(guarded.stack.addresses[name], credentials) as client:
                with pytest.raises(UnavailableError):
                    await client.serving()


async def test_the_command_line_is_let_in_by_its_settings_and_ends_with_7_where_it_is_not(guarded: Guarded) -> None:
    status, output = await guarded.command(Role.READ, "search", "a color")
    assert status == 0, output
    status, output = await guarded.command(Role.WRITE, "store", "backup", str(guarded.folder / "backup"))
    assert (status, "Backup needs a token of the role admin" in output) == (7, True), output
    status, output = await guarded.command(Role.ADMIN, "store", "backup", str(guarded.folder / "backup"))
    assert status == 0, output


async def test_no_service_has_logged_a_secret(guarded: Guarded) -> None:
    text = "\n".join(guarded.log)
    assert "caller=READer" in text
    assert not [secret for secret in SECRETS if secret in text]
