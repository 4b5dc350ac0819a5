import subprocess
import sys

import pytest

from services.common.errors import StartupError
from services.embedder import openvino_engine
from services.embedder.device import CPU
from services.embedder.fidelity import dead_leaves, fidelity
from services.embedder.loading import Choice, load_encoders, load_towers
from services.embedder.openvino_engine import OpenVinoEngine
from services.embedder.torch_engine import TorchEngine
from services.embedder.tower_encoder import TowerEncoder
from tests.checkpoints import make_clip

TEXTS = ["a dog", "the cat on the mat, which is long for a text", "x"]
PICTURES = dead_leaves(5, 40)


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    return load_towers(str(make_clip(tmp_path_factory.mktemp("clip"))))


@pytest.fixture(scope="module")
def reference(towers):
    return TowerEncoder(towers, TorchEngine(towers, CPU, "float32"), towers.fingerprint)


@pytest.fixture(scope="module")
def encoder(towers):
    return TowerEncoder(towers, OpenVinoEngine(towers, "float32", []), towers.fingerprint)


def test_agrees_with_torch_in_float32(encoder, reference):
    assert fidelity(encoder, reference, PICTURES, TEXTS).worst > 1 - 1e-5


def test_takes_batches_and_texts_of_any_size(encoder, reference):
    for count in (1, 2, 3, 9):
        texts = ["word " * n for n in range(count)]
        pictures = [PICTURES[0]] * count
        assert fidelity(encoder, reference, pictures, texts).worst > 1 - 1e-5


def test_agrees_with_torch_for_the_bundled_model():
    encoders = [load_encoders(Choice("lite", "cpu", back_end, "float32"))[0] for back_end in ("openvino", "torch")]
    assert fidelity(*encoders, PICTURES, TEXTS).worst > 1 - 1e-5
    model = encoders[0].model
    assert (model.back_end, model.device, model.precision) == ("openvino", "cpu", "float32")
    assert model.fingerprint == encoders[1].model.fingerprint


def test_int8_rounds_images_and_leaves_texts_in_float(towers, reference):
    encoder = TowerEncoder(towers, OpenVinoEngine(towers, "int8", dead_leaves(8, 32)), towers.fingerprint)
    assert 0.9 < fidelity(encoder, reference, PICTURES, []).worst < 1 - 1e-5
    assert fidelity(encoder, reference, [], TEXTS).worst > 0.999  # in bfloat16 where the hardware has it


def test_bfloat16_is_refused_where_the_cpu_has_it_not(towers, monkeypatch):
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: False)
    with pytest.raises(StartupError, match="this CPU has no bfloat16"):
        OpenVinoEngine(towers, "bfloat16", [])


QUIET = """
import sys
from services.embedder.fidelity import dead_leaves
from services.embedder.openvino_engine import OpenVinoEngine
from services.embedder.loading import load_towers

events = set()
sys.addaudithook(lambda event, _: events.add(event))
OpenVinoEngine(load_towers(sys.argv[1]), "int8", dead_leaves(2, 32))
assert "import" in events
assert not events & {"socket.connect", "socket.getaddrinfo"}
"""


def test_says_nothing_and_asks_no_network(tmp_path):
    run = subprocess.run([sys.executable, "-c", QUIET, make_clip(tmp_path)], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_without_the_extra_it_is_said_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from services.embedder.loading import Choice, load_encoders\n"
        "load_encoders(Choice('lite', back_end='openvino'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "StartupError: the back end openvino is not installed: pip install 'videosearch[openvino]'" in run.stderr
