"""`videosearch token`: what it makes is what services take."""

import json
import stat

import pytest

from services.common.access import Caller, Tokens
from services.common.clients.credentials import Credentials
from services.common.clients.store import StoreClient
from services.common.errors import UnauthenticatedError
from services.common.methods import Role
from tests.commands import data, invoke, run
from tests.secured import counting


def caller(file, token: str) -> Caller:
    return Tokens("", file).caller(f"Bearer {token}")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens"


async def test_a_service_takes_the_token_that_is_printed_by_the_line_that_is_told(file):
    made = await run("token", "search", "--role", "read")
    file.write_text(made.stderr.splitlines()[-1])
    async with (
        counting(tokens_file=file) as address,
        StoreClient(address, Credentials(token=made.stdout.strip())) as client,
    ):
        assert (await client.stats()).video_count == 3


async def test_programs_get_both_as_json(file):
    made = await data("token", "indexer", "--role", "write")
    file.write_text(made["line"])
    assert caller(file, made["token"]) == Caller(made["name"], Role.WRITE) == Caller("indexer", Role.WRITE)


def test_the_line_goes_into_a_file_that_only_its_owner_may_read(file):
    made = invoke("token", "boss", "--role", "admin", "--file", str(file))
    assert made.exit_code == 0
    assert made.stderr == ""
    assert made.stdout.strip() not in file.read_text()
    assert caller(file, made.stdout.strip()) == Caller("boss", Role.ADMIN)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_token_of_a_name_goes_beside_the_first(file):
    """So that who has it can change from one to the other at any time."""
    made = [invoke("token", "search", "--role", "read", "--file", str(file)).stdout.strip() for _ in range(2)]
    assert [caller(file, token).name for token in made] == ["search", "search"]


def test_a_name_is_given_one_token_in_place_of_all_before(file):
    file.write_text("# those who search\n")
    for name in ("search", "searching", "search"):
        invoke("token", name, "--role", "read", "--file", str(file))
    invoke("token", "search", "--role", "write", "--file", str(file), "--replace")
    lines = [line.rpartition(":")[0] for line in file.read_text().splitlines()]
    assert lines == ["", "searching:read", "search:write"]


def test_a_token_is_taken_back_however_its_line_is_indented(file):
    old = invoke("token", "search", "--role", "read", "--file", str(file)).stdout.strip()
    file.write_text(f"  {file.read_text()}")
    assert caller(file, old).name == "search"
    invoke("token", "search", "--role", "read", "--file", str(file), "--replace")
    with pytest.raises(UnauthenticatedError):
        caller(file, old)


def test_a_file_keeps_who_may_read_it(file):
    file.touch(mode=0o640)
    file.chmod(0o640)
    invoke("token", "search", "--role", "read", "--file", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_file_of_something_else_is_left_alone(file):
    file.write_text("precious")
    made = invoke("token", "search", "--role", "read", "--file", str(file))
    assert made.exit_code == 4
    assert "is no file of tokens" in made.stderr
    assert made.stdout == ""
    assert file.read_text() == "precious"


@pytest.mark.parametrize("name", ["", "a:b", "a b", "x" * 65, "\N{SNOWMAN}"])
def test_what_is_no_name_is_refused(name, file):
    made = invoke("token", name, "--role", "read", "--file", str(file))
    assert made.exit_code == 2
    assert "is no name" in made.stderr
    assert not file.exists()


def test_nothing_can_be_replaced_without_a_file():
    assert invoke("token", "search", "--role", "read", "--replace").exit_code == 2


@pytest.mark.parametrize("options", [[], ["--role", "owner"]])
def test_a_role_must_be_one_of_the_three(options):
    assert invoke("token", "search", *options).exit_code == 2


def test_no_two_tokens_are_the_same():
    made = [json.loads(invoke("token", "a", "--role", "read", "--json").stdout)["token"] for _ in range(3)]
    assert len(set(made)) == 3
