import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import access, watched
from services.common.access import ANYBODY, Caller, Tokens, allow, line_of, new_token
from services.common.errors import ForbiddenError, UnauthenticatedError
from services.common.methods import METHODS, Role
from videosearch.v1 import embedder_pb2, indexer_pb2, search_pb2, store_pb2

TOKEN = "a-token-that-nobody-guesses-0123456789"
OTHER = "another-token-that-nobody-guesses-0123"
READ, WRITE, ADMIN = (Caller(role.name.lower(), role) for role in Role)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_every_rpc_is_in_the_table_and_nothing_else_is():
    services = [
        service
        for file in (embedder_pb2, indexer_pb2, search_pb2, store_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
    ]
    assert set(METHODS) == {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_without_tokens_anybody_may_call():
    assert Tokens("", None).caller("") == ANYBODY


@pytest.mark.parametrize("given", [" ", ",", " , \n"])
def test_tokens_that_are_set_to_none_let_nobody_in(given):
    with pytest.raises(ValueError, match="there is no token"):
        Tokens(given, None)


def test_a_token_of_the_environment_has_its_name_and_role():
    tokens = Tokens(f"a:read:{TOKEN}, b.c-d_e:admin:{OTHER},", None)
    assert tokens.caller(bearer(TOKEN)) == Caller("a", Role.READ)
    assert tokens.caller(bearer(OTHER)) == Caller("b.c-d_e", Role.ADMIN)


def test_a_token_of_the_file_has_its_name_and_role(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who searches\n\n{line_of(READ, TOKEN)}\n  {line_of(WRITE, OTHER)}\n")
    tokens = Tokens("", file)
    assert tokens.caller(bearer(TOKEN)) == READ
    assert tokens.caller(bearer(OTHER)) == WRITE


def test_both_are_taken(tmp_path):
    (tmp_path / "tokens").write_text(line_of(READ, TOKEN))
    tokens = Tokens(f"write:write:{OTHER}", tmp_path / "tokens")
    assert [tokens.caller(bearer(token)) for token in (TOKEN, OTHER)] == [READ, WRITE]


def test_an_empty_file_lets_nobody_in(tmp_path):
    (tmp_path / "tokens").touch()
    with pytest.raises(UnauthenticatedError):
        Tokens("", tmp_path / "tokens").caller("")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}"])
def test_a_header_without_a_token_is_told_how_to_send_one(header):
    with pytest.raises(UnauthenticatedError, match="send it as metadata, authorization: Bearer TOKEN"):
        Tokens(f"a:read:{TOKEN}", None).caller(header)


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f"a:read:{TOKEN}", "\N{SNOWMAN}"])
def test_a_token_that_is_not_known_is_refused(token):
    with pytest.raises(UnauthenticatedError, match="not known"):
        Tokens(f"a:read:{TOKEN}", None).caller(bearer(token))


def test_what_the_file_keeps_of_a_token_lets_nobody_in(tmp_path):
    line = line_of(READ, TOKEN)
    (tmp_path / "tokens").write_text(line)
    with pytest.raises(UnauthenticatedError):
        Tokens("", tmp_path / "tokens").caller(bearer(line.rpartition(":")[2]))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_as_one_likes(scheme):
    assert Tokens(f"a:read:{TOKEN}", None).caller(f"{scheme} {TOKEN}").name == "a"


@pytest.mark.parametrize(
    "given", [TOKEN, f"a:{TOKEN}", f"a:owner:{TOKEN}", f":read:{TOKEN}", f"a b:read:{TOKEN}", "a:read:", "a:read:short"]
)
def test_what_is_no_token_of_the_environment_is_refused_without_showing_it(given):
    with pytest.raises(ValueError, match=r"^(token 1 is not of the form|a token has at least)") as failure:
        Tokens(given, None)
    assert TOKEN not in str(failure.value)


def test_a_token_in_the_file_as_it_is_is_refused_without_showing_it(tmp_path):
    (tmp_path / "tokens").write_text(f"a:read:{TOKEN}")
    with pytest.raises(ValueError, match="does not end in a SHA-256") as failure:
        Tokens("", tmp_path / "tokens")
    assert TOKEN not in str(failure.value)


def test_a_file_of_tokens_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Tokens("", tmp_path / "tokens")


def test_a_token_that_is_added_or_taken_back_is_seen_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    file = tmp_path / "tokens"
    file.write_text(line_of(READ, TOKEN))
    tokens = Tokens("", file)
    file.write_text(line_of(READ, OTHER))
    assert tokens.caller(bearer(OTHER)) == READ
    with pytest.raises(UnauthenticatedError):
        tokens.caller(bearer(TOKEN))


def test_a_broken_file_leaves_the_tokens_as_they_were(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    file = tmp_path / "tokens"
    file.write_text(line_of(READ, TOKEN))
    tokens = Tokens("", file)
    file.write_text(f"a:read:{OTHER}")
    assert tokens.caller(bearer(TOKEN)) == READ
    (record,) = caplog.records
    assert record.message == "file not taken"
    assert OTHER not in record.reason


@pytest.mark.parametrize(("caller", "least"), [(READ, Role.READ), (WRITE, Role.WRITE), (ADMIN, Role.ADMIN)])
def test_a_role_may_do_what_those_below_it_may(caller, least):
    for method, known in METHODS.items():
        if known.role <= least:
            allow(caller, method)
        else:
            with pytest.raises(ForbiddenError, match="needs a token of the role"):
                allow(caller, method)


def test_the_roles_of_the_rpcs_are_as_decided():
    """Who changes this changes who may do what: the table of docs/security.md goes with it."""
    assert {name.rpartition("/")[2] for name, method in METHODS.items() if method.role == Role.WRITE} == {
        *("PutVideo", "UpdateVideo", "DeleteVideo", "PutEmbeddings"),
        *("IndexVideo", "UploadVideo", "CancelIndexJob", "RestartIndexJob"),
    }
    assert {name.rpartition("/")[2] for name, method in METHODS.items() if method.role == Role.ADMIN} == {
        *("SwitchModel", "Backup"),
    }


def test_new_tokens_differ_and_can_stand_in_a_header_and_in_the_environment():
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in made)


@given(st.text(max_size=70))
def test_a_line_is_made_only_of_a_name_that_is_read_back(name):
    try:
        line = line_of(Caller(name, Role.READ), TOKEN)
    except ValueError:
        assert not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name)
    else:
        assert [(caller.name, caller.role) for caller, _ in access._entries([line])] == [(name, Role.READ)]
