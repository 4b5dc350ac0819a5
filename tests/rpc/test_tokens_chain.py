"""TLS, mutual TLS and tokens from the command line through search to the embedder and the store."""

import logging
from dataclasses import replace

import pytest

from services.common import watched
from services.common.clients.credentials import Credentials
from services.common.clients.embedder import EmbedderClient
from services.common.clients.search import SearchClient
from services.common.errors import PreconditionError
from services.common.jobs import JobState
from services.common.methods import Role
from services.common.ranking import VideoRanking
from tests.chains import chain
from tests.commands import run
from tests.indexers import ColorEmbedder, indexing
from tests.secured import GIVEN, TOKENS, UNKNOWN
from tests.servers import serving
from tests.videos import write_video
from videosearch.v1 import embedder_pb2_grpc


async def test_the_command_line_searches_through_all_of_them(tmp_path, monkeypatch):
    async with chain(tmp_path) as services:
        services.told_to(monkeypatch, TOKENS[Role.READ])
        found = await run("search", "a butterfly")
    assert found.exit_code == 0
    assert "Rabbit" in found.stdout


@pytest.mark.parametrize(
    ("command", "token", "told"),
    [
        (["search", "a butterfly"], "", "SearchService at ADDRESS: no token"),
        (["search", "a butterfly"], UNKNOWN, "SearchService at ADDRESS: the token is not known"),
        (["videos", "delete", "rabbit"], TOKENS[Role.READ], "DeleteVideo needs a token of the role write"),
        (["store", "backup", "FILE"], TOKENS[Role.WRITE], "Backup needs a token of the role admin"),
    ],
    ids=["none", "unknown", "read for write", "write for admin"],
)
async def test_a_command_without_the_token_that_it_needs_ends_with_7(tmp_path, monkeypatch, command, token, told):
    async with chain(tmp_path) as services:
        services.told_to(monkeypatch, token)
        ended = await run(*(word.replace("FILE", str(tmp_path / "backup")) for word in command))
        assert ended.exit_code == 7, ended.output
        assert told.replace("ADDRESS", services.search) in ended.stderr
        assert not (tmp_path / "backup").exists()


async def test_a_command_without_tls_ends_with_5_and_says_what_to_set(tmp_path, monkeypatch):
    async with chain(tmp_path) as services:
        monkeypatch.setenv("VIDEOSEARCH_SEARCH_ADDRESS", services.search)
        ended = await run("search", "a butterfly")
    assert ended.exit_code == 5
    assert "does it want TLS? then set VIDEOSEARCH_TLS_CA_FILE" in ended.stderr


async def test_a_command_sends_its_token_to_no_other_machine_without_tls(monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_SEARCH_ADDRESS", "search.example.org:50054")
    monkeypatch.setenv("VIDEOSEARCH_TOKEN", TOKENS[Role.READ])
    ended = await run("search", "a butterfly")
    assert ended.exit_code == 4
    assert "the token is not sent to search.example.org:50054 without TLS" in ended.stderr


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("VIDEOSEARCH_TLS_KEY_FILE", "key.pem", "VIDEOSEARCH_TLS_KEY_FILE are set together or not"),
        ("VIDEOSEARCH_TOKENS_OVER_PLAINTEXT", "maybe", "setting VIDEOSEARCH_TOKENS_OVER_PLAINTEXT='maybe': "),
    ],
)
async def test_a_wrong_setting_of_the_command_line_is_told_in_a_line(monkeypatch, variable, value, told):
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("VIDEOSEARCH_TOKEN", TOKENS[Role.READ])
    ended = await run("search", "a butterfly")
    assert ended.exit_code == 2
    assert told in ended.stderr
    assert TOKENS[Role.READ] not in ended.output


async def test_who_calls_search_is_not_blamed_for_searchs_own_token(tmp_path, caplog):
    async with chain(tmp_path, searchs_token=UNKNOWN) as services:
        mine = replace(services.caller, token=TOKENS[Role.READ])
        async with SearchClient(services.search, mine) as client:
            with pytest.raises(PreconditionError) as failure:
                await client.search_videos("a butterfly", VideoRanking())
        told = f"EmbedderService at {services.embedder}: the token is not known: it is misspelt, or was taken back"
    assert str(failure.value) == f"SearchService itself is refused by {told}"
    (warning,) = [record for record in caplog.records if record.message == "own token refused"]
    assert (warning.levelno, warning.reason) == (logging.WARNING, told)


async def test_a_job_whose_indexer_is_refused_says_so_and_goes_on_once_its_token_is_put_right(tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    monkeypatch.setattr("services.indexer.leases.FIRST_DELAY_S", 0.1)
    add, token_file = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, tmp_path / "token"
    token_file.write_text(UNKNOWN)
    async with (
        serving(EmbedderClient.service, add, ColorEmbedder(), tokens=GIVEN) as address,
        indexing(tmp_path, address, max_attempts=50, credentials=Credentials(token_file=token_file)) as world,
    ):
        job = await world.client.index_video(str(write_video(world.root / "film.mp4", [10]).path))
        async for state in world.client.watch_job(job.job_id):
            if state.state is JobState.QUEUED and state.error:
                assert state.error.startswith(
                    f"the indexer itself is refused by EmbedderService at {address}: the token"
                )
                token_file.write_text(TOKENS[Role.READ])
    assert state.state is JobState.SUCCEEDED
    assert not state.error
