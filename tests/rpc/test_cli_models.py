"""`videosearch models` and the embedder against a hub on loopback."""

import json
import random
import subprocess
import sys

import pytest
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE

from services.common.errors import StartupError
from services.embedder.checkpoint import load_checkpoint
from tests.checkpoints import make_clip
from tests.commands import invoke
from tests.hubs import hub_of

NAME = "someone/small-clip"


@pytest.fixture
def checkpoint(tmp_path):
    """With files beside it that transformers does not read."""
    (tmp_path / "hub" / "someone").mkdir(parents=True)
    folder = make_clip(tmp_path / "hub" / NAME)
    (folder / "onnx").mkdir()
    for extra in ("README.md", "flax_model.msgpack", "pytorch_model.bin", "onnx/model.onnx", "onnx/config.json"):
        (folder / extra).write_text("not needed")
    return folder


@pytest.fixture
def hub(checkpoint, tmp_path):
    with hub_of(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def home(hub, tmp_path, monkeypatch):
    """This process asks the hub on loopback, and keeps what it gets in a cache of its own."""
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", endpoint + template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return tmp_path / "home"


@pytest.fixture
def pull(home, tmp_path, monkeypatch):
    """Runs `videosearch models pull` in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *args: invoke("models", "pull", *args)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def needed(checkpoint):
    return [name for name in names(checkpoint) if name.endswith((".json", ".txt", ".safetensors"))]


def test_pull_fetches_what_is_read_and_says_how_to_use_it(pull, checkpoint, tmp_path):
    result = pull(NAME)
    folder = tmp_path / "here" / "small-clip"
    assert result.exit_code == 0, result.stderr
    assert names(folder) == needed(checkpoint)
    assert all((folder / name).read_bytes() == (checkpoint / name).read_bytes() for name in names(folder))
    assert not any(file.is_symlink() for file in folder.iterdir())
    assert f"VIDEOSEARCH_EMBEDDER_MODEL={folder}" in result.stdout
    assert result.stderr == f"{NAME}: fetching\n"


def test_pull_takes_a_bin_if_there_are_no_safetensors(pull, checkpoint, tmp_path):
    (checkpoint / "model.safetensors").unlink()
    found = json.loads(pull(NAME, "--to", "elsewhere", "--json").stdout)
    assert found["folder"] == str(tmp_path / "here" / "elsewhere")
    assert found["size_bytes"] == sum(file.stat().st_size for file in (tmp_path / "here" / "elsewhere").iterdir())
    assert "pytorch_model.bin" in found["files"] == names(tmp_path / "here" / "elsewhere")


def test_offline_takes_it_from_the_cache_and_never_connects(pull, hub, checkpoint, tmp_path):
    pull(NAME)
    hub.requests.clear()
    result = pull(NAME, "--to", "again", "--offline")
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "here" / "again") == needed(checkpoint)
    assert hub.requests == []


def test_offline_without_it_in_the_cache_is_not_found(pull, hub):
    result = pull(NAME, "--offline")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "does not hold all of 'someone/small-clip'" in result.stderr
    assert hub.requests == []


def test_what_is_in_the_cache_is_not_fetched_again(pull, hub):
    pull(NAME)
    hub.requests.clear()
    assert pull(NAME).exit_code == 0
    assert not [request for request in hub.requests if request.startswith("GET") and "resolve" in request]


def test_a_name_that_the_hub_does_not_know_is_not_found(pull):
    result = pull("someone/else")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 2)
    assert "the hub has no model 'someone/else'" in result.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "a/b/c", "no such name!", "../model"])
def test_what_is_no_name_is_wrong_input(name, pull, hub, tmp_path):
    assert pull(name).exit_code == 2
    assert hub.requests == []
    assert names(tmp_path / "here") == []


def test_a_model_whose_terms_were_not_accepted_needs_a_token(pull, hub):
    hub.gated = True
    result = pull(NAME)
    assert result.exit_code == 4
    assert "HF_TOKEN" in result.stderr


def test_a_model_in_other_formats_only_is_not_found(pull, checkpoint):
    for weights in ("model.safetensors", "pytorch_model.bin"):
        (checkpoint / weights).unlink()
    result = pull(NAME)
    assert result.exit_code == 3
    assert "no weights that transformers reads" in result.stderr


def test_without_a_network_one_line_says_so(pull, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens on "discard"
    result = pull(NAME)
    assert result.exit_code == 5
    assert len(result.stderr.splitlines()) == 2
    assert "no whole answer from the hub at http://127.0.0.1:9" in result.stderr


def test_a_folder_that_cannot_be_written_is_said_to_be(pull):
    result = pull(NAME, "--to", "/proc/model")
    assert result.exit_code == 4
    assert "/proc/model cannot be written" in result.stderr


def test_a_download_whose_connection_breaks_goes_on_where_it_stopped(pull, hub, checkpoint, tmp_path):
    weights = random.Random(7).randbytes(2 * DOWNLOAD_CHUNK_SIZE)
    (checkpoint / "model.safetensors").write_bytes(weights)
    hub.break_after = DOWNLOAD_CHUNK_SIZE + 1
    assert pull(NAME).exit_code == 0
    assert [request for request in hub.requests if request.endswith(f"bytes={DOWNLOAD_CHUNK_SIZE}-")]
    assert (tmp_path / "here" / "small-clip" / "model.safetensors").read_bytes() == weights


def test_a_pull_that_failed_goes_on_with_the_files_that_are_missing(pull, hub):
    hub.failing = "model.safetensors"
    failed = pull(NAME)
    assert failed.exit_code == 5
    assert "no whole answer from the hub" in failed.stderr
    hub.failing = ""
    hub.requests.clear()
    assert pull(NAME).exit_code == 0
    fetched = [request for request in hub.requests if request.startswith("GET") and "resolve" in request]
    assert [request.rpartition("/")[2] for request in fetched] == ["model.safetensors"]


def test_pull_is_a_program_that_takes_the_hub_from_its_environment(hub, tmp_path):
    command = [sys.executable, "-m", "cli", "models", "pull", NAME, "--to", str(tmp_path / "there")]
    environment = {**hub.environment(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)}
    pulled = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (pulled.returncode, pulled.stderr) == (0, f"{NAME}: fetching\n")
    assert (tmp_path / "home" / "hub" / "models--someone--small-clip").is_dir()


# the embedder, by the model's name


def test_the_embedder_fetches_a_model_by_its_name(hub, home):
    assert type(load_checkpoint(NAME).model).__name__ == "CLIPModel"
    assert not [request for request in hub.requests if "onnx" in request or "/pytorch" in request]


def test_the_embedder_fetches_what_the_cache_lacks(hub, home, pull):
    hub.failing = "tokenizer.json"
    assert pull(NAME).exit_code == 5
    hub.failing = ""
    assert load_checkpoint(NAME).tokenizer


@pytest.mark.parametrize("offline", [True, False])
def test_the_embedder_asks_no_network_for_what_is_in_the_cache(offline, pull, hub):
    pull(NAME)
    hub.requests.clear()
    assert load_checkpoint(NAME, offline=offline).model
    assert hub.requests == []


def test_the_embedder_offline_never_connects(hub, home):
    with pytest.raises(StartupError, match="does not hold all of 'someone/small-clip'"):
        load_checkpoint(NAME, offline=True)
    assert hub.requests == []
