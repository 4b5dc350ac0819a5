import pytest
from cryptography.hazmat.primitives import serialization

from services.common import watched
from services.common.clients.credentials import Credentials, Shown
from services.common.errors import PreconditionError
from tests.certificates import Authority

TOKEN = "a-token-that-nobody-guesses-0123456789"
FAR = "store.example.org:50052"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    return file


def shown(*, address: str = "127.0.0.1:1", **given) -> Shown:
    return Shown(Credentials(**given), address)


def test_a_token_goes_into_the_metadata():
    assert shown(token=TOKEN).metadata == (("authorization", f"Bearer {TOKEN}"),)


def test_credentials_do_not_show_their_token_to_a_person():
    assert TOKEN not in repr(Credentials(token=TOKEN))


def test_nothing_is_shown_by_who_has_nothing():
    assert shown().metadata == ()
    assert shown().tls is None


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/run/store.sock"])
def test_a_token_goes_without_tls_to_this_machine(address):
    assert shown(address=address, token=TOKEN).metadata


@pytest.mark.parametrize("address", [FAR, "0.0.0.0:1", "dns:///store:1", "ipv4:127.0.0.1:1,10.0.0.1:1"])
def test_a_token_does_not_go_without_tls_to_another(address):
    with pytest.raises(PreconditionError, match=r"not sent to .* without TLS: set VIDEOSEARCH_TLS_CA_FILE") as failure:
        shown(address=address, token=TOKEN)
    assert TOKEN not in str(failure.value)


def test_nor_does_that_of_a_file(token_file):
    with pytest.raises(PreconditionError, match="without TLS"):
        shown(address=FAR, token_file=token_file)


def test_it_does_with_tls(authority):
    assert shown(address=FAR, token=TOKEN, ca=authority.file).metadata


def test_or_where_it_is_allowed_to():
    assert shown(address=FAR, token=TOKEN, over_plaintext=True).metadata


def test_what_has_no_token_may_go_without_tls():
    assert shown(address=FAR).metadata == ()


def test_a_certificate_alone_makes_no_connection_safe(authority):
    with pytest.raises(PreconditionError, match="without TLS"):
        shown(address=FAR, token=TOKEN, identity=authority.issue("mine"))


def test_the_token_of_a_file_goes_before_and_is_read_again(token_file, monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    mine = shown(token="old", token_file=token_file)
    assert mine.metadata == (("authorization", f"Bearer {TOKEN}"),)
    token_file.write_text("new")
    assert mine.metadata == (("authorization", "Bearer new"),)


@pytest.mark.parametrize("content", ["", "\n", "two words", "\N{SNOWMAN}", "a\x00b", f"{TOKEN}\n{TOKEN}"])
def test_a_file_that_holds_no_token_leaves_the_one_before(token_file, monkeypatch, content):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    mine = shown(token_file=token_file)
    token_file.write_text(content)
    assert mine.metadata == (("authorization", f"Bearer {TOKEN}"),)


@pytest.mark.parametrize("token", [f"{TOKEN} x", f"{TOKEN}\n{TOKEN}", f"{TOKEN}\N{SNOWMAN}", f"{TOKEN}\udcff"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_without_showing_it(token):
    with pytest.raises(ValueError, match="VIDEOSEARCH_TOKEN holds more than a token") as failure:
        shown(token=token)
    assert TOKEN not in str(failure.value)


def test_credentials_are_the_same_object_until_their_files_change(authority, monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)
    mine = shown(ca=authority.file, identity=authority.issue("mine"))
    before = mine.tls
    assert mine.tls is before
    authority.issue("mine")
    assert mine.tls is not before


def test_a_key_with_a_password_is_refused_and_asks_nobody(authority):
    identity = authority.issue("mine")
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"hunter2")
    form = serialization.PrivateFormat.PKCS8
    identity.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    with pytest.raises(ValueError, match="are no certificate and its key"):
        shown(ca=authority.file, identity=identity)
