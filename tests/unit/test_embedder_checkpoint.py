"""What is loaded of a checkpoint, and what of it is refused."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from services.common.errors import StartupError
from services.embedder.checkpoint import load_checkpoint
from services.embedder.loading import Choice, load_encoders
from tests.checkpoints import make_clip


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "clip")


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens on "discard"


def failure(name):
    with pytest.raises(StartupError) as caught:
        load_checkpoint(str(name))
    return str(caught.value)


@pytest.mark.parametrize("name", ["some/model", "no such name!", "/no/such/folder"])
def test_a_model_that_is_nowhere_gets_one_line_with_the_three_ways_out(name, no_network):
    message = failure(name)
    assert "\n" not in message
    assert all(way in message for way in (name, "local folder", "cache", "lite"))


def test_an_empty_folder_is_named(tmp_path):
    assert f"no model '{tmp_path}': there is no usable model in it" in failure(tmp_path)


def test_a_folder_without_weights_is_refused(clip):
    (clip / "model.safetensors").unlink()
    assert "no usable model" in failure(clip)


@pytest.mark.parametrize("content", [b"", b"damaged"])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_damaged_file_is_refused(file, content, clip):
    (clip / file).write_bytes(content)
    assert "\n" not in failure(clip)


def test_weights_that_lack_some_are_refused(clip):
    weights = load_file(clip / "model.safetensors")
    kept = {name: weights[name] for name in weights if name != "visual_projection.weight"}
    save_file(kept, clip / "model.safetensors", {"format": "pt"})
    assert "weights are missing, such as visual_projection.weight" in failure(clip)


def test_a_model_without_two_towers_is_refused(tmp_path):
    small = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    BertModel(small).save_pretrained(tmp_path)
    assert "BertModel has no text and image towers" in failure(tmp_path)


# weights in a pickle


def vectors(folder):
    """What the model makes of a picture and a text, and its fingerprint."""
    encoder = load_encoders(Choice(str(folder), "cpu", "torch", "float32"))[0]
    picture = encoder.encode_images([encoder.prepare_image(Image.new("RGB", (40, 30), "red"))])
    text = encoder.encode_texts([encoder.prepare_text("a dog").inputs])
    return np.concatenate([picture, text]), encoder.model.fingerprint


def unpack(folder, **others):
    """The checkpoint with its weights in `pytorch_model.bin`, as older ones have them."""
    path = folder / "model.safetensors"
    torch.save({**load_file(path), **others}, folder / "pytorch_model.bin")
    path.unlink()


def test_a_bin_gives_what_its_safetensors_give(clip):
    before, fingerprint = vectors(clip)
    # The reference checkpoint, openai/clip-vit-base-patch32, has these too, which the model no longer knows.
    positions = {f"{tower}_model.embeddings.position_ids": torch.arange(16)[None] for tower in ("text", "vision")}
    unpack(clip, **positions)
    after, same = vectors(clip)
    np.testing.assert_allclose(before, after, atol=1e-6)
    assert same == fingerprint


def test_safetensors_are_preferred_to_a_bin(clip):
    (clip / "pytorch_model.bin").write_bytes(b"never read")
    load_checkpoint(str(clip))


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_code_in_a_pickle_is_refused_and_never_runs(save, clip, tmp_path):
    done = tmp_path / "done"
    (clip / "model.safetensors").unlink()
    save({"logit_scale": Harmful(done)}, clip / "pytorch_model.bin")
    assert "no usable model" in failure(clip)
    assert not done.exists()
    pickle.loads(pickle.dumps(Harmful(done)))
    assert done.exists()  # it would have done harm


# code of the checkpoint's own


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("part", ["AutoConfig", "AutoModel"])
def test_a_model_with_code_of_its_own_is_refused_and_the_code_never_runs(part, clip, tmp_path):
    done = tmp_path / "done"
    (clip / "own.py").write_text(f"import os; os.mkdir({str(done)!r})\nclass Own: pass\n")
    edit(clip / "config.json", model_type="own", architectures=["Own"], auto_map={part: "own.Own"})
    assert "\n" not in failure(clip)
    assert not done.exists()


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("config.json", {"AutoConfig": "own.Own", "AutoModel": "own.Own"}),
        ("preprocessor_config.json", {"AutoImageProcessor": "own.Own"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["own.Own", None]}),
    ],
)
def test_where_the_library_knows_the_part_its_own_class_is_taken(file, part, clip, tmp_path):
    done = tmp_path / "done"
    (clip / "own.py").write_text(f"import os; os.mkdir({str(done)!r})\nclass Own: pass\n")
    edit(clip / file, auto_map=part)
    assert type(load_checkpoint(str(clip)).model).__module__.startswith("transformers.")
    assert not done.exists()


WITHOUT_NETWORK = """
import sys
asked = []
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
sys.addaudithook(lambda event, arguments: event in NETWORK and asked.append((event, arguments)))

import threading
from services.embedder.loading import load_towers

load_towers(sys.argv[1])
assert [thread.name for thread in threading.enumerate()] == ["MainThread"], threading.enumerate()
sys.exit(f"it asked the network: {asked}" if asked else None)
"""


def test_a_folder_is_loaded_without_asking_the_network(clip):
    unpack(clip)  # for which transformers would ask the hub for safetensors, in the background
    command = [sys.executable, "-c", WITHOUT_NETWORK, str(clip)]
    process = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
