import logging

import numpy as np
import pytest
import torch

from services.common.errors import StartupError
from services.embedder import choosing, device
from services.embedder.choosing import Kind, fastest, fingerprint_of, kinds
from services.embedder.device import CPU
from services.embedder.fidelity import SHARED_WORST, dead_leaves, fidelity
from services.embedder.loading import Choice, load_encoders, load_towers
from services.embedder.torch_engine import TorchEngine
from services.embedder.tower_encoder import TowerEncoder
from tests.checkpoints import make_clip

GPU = torch.device("cuda:0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(make_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def towers(folder):
    return load_towers(folder)


@pytest.fixture
def hardware(monkeypatch):
    """A CPU that has what is added to it."""
    capabilities = {"avx2": True, "l2_cache_size": 524288, "avx512_bf16": False, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    return capabilities


class Altered(TorchEngine):
    """Float32 under another name, each image computed `slowness` times and moved away by `noise`."""

    def __init__(self, towers, kind, slowness=1, noise=0.0):
        super().__init__(towers, CPU, "float32")
        self.back_end, self.precision = kind
        self.slowness = slowness
        self.noise = noise

    def images(self, items):
        for _ in range(self.slowness):
            rows = super().images(items)
        random = np.random.default_rng(1).standard_normal(rows.shape[1])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) + self.noise * random / np.linalg.norm(random)


def chosen(towers, *engines):
    return fastest(towers, TorchEngine(towers, CPU, "float32"), engines)


SLOW, QUICK = Kind("torch", "float32"), Kind("openvino", "bfloat16")


class TestTheBest:
    def test_does_without_a_back_end_that_fails(self, towers, monkeypatch, caplog):
        real = choosing.engine

        def engine(towers, device, kind):
            if kind == QUICK:
                raise RuntimeError("no such operation")
            return real(towers, device, kind)

        monkeypatch.setattr(choosing, "engine", engine)
        found, _ = choosing.best(towers, CPU, [SLOW, QUICK])
        assert (found.back_end, found.precision) == SLOW
        assert "openvino cannot compute" in caplog.text
        with pytest.raises(RuntimeError, match="no such operation"):
            choosing.best(towers, CPU, [QUICK])

    def test_refuses_int8_that_is_of_no_use(self, towers):
        with pytest.raises(StartupError, match="int8 does not keep"):
            chosen(towers, Altered(towers, choosing.INT8, noise=0.5))


class TestTheFastest:
    def test_is_taken_if_it_is_faithful(self, towers, caplog):
        caplog.set_level(logging.INFO)
        trial = chosen(towers, Altered(towers, SLOW, slowness=10), Altered(towers, QUICK, noise=0.01))
        assert trial.engine.precision == "bfloat16"
        assert fingerprint_of(towers, trial) == towers.fingerprint
        [line] = [record.message for record in caplog.records]
        assert line.startswith("measured torch float32 ")
        assert line.endswith("; took openvino bfloat16")
        assert line.count("worst cosine") == 2

    def test_is_not_taken_if_it_is_unfaithful(self, towers):
        trial = chosen(towers, Altered(towers, SLOW, slowness=10), Altered(towers, QUICK, noise=0.3))
        assert trial.engine.precision == "float32"

    def test_is_taken_when_told_and_unfaithful_under_a_fingerprint_of_its_own(self, towers):
        trial = chosen(towers, Altered(towers, QUICK, noise=0.3))
        assert 0.9 < trial.fidelity.worst < SHARED_WORST
        own = fingerprint_of(towers, trial)
        other = fingerprint_of(towers, chosen(towers, Altered(towers, Kind("torch", "bfloat16"), noise=0.3)))
        assert len({own, other, towers.fingerprint}) == 3
        assert len(own) == len(towers.fingerprint)

    def test_in_int8_has_a_fingerprint_of_its_own_whatever_was_measured(self, towers):
        trial = chosen(towers, Altered(towers, choosing.INT8))
        assert trial.fidelity.worst > SHARED_WORST
        assert fingerprint_of(towers, trial) != towers.fingerprint


class TestWhatIsTried:
    def test_is_float32_alone_without_more_in_the_hardware(self, hardware):
        assert kinds(CPU, "torch", "auto") == [Kind("torch", "float32")]
        assert kinds(CPU, "openvino", "auto") == [Kind("openvino", "float32")]

    def test_is_never_int8_by_itself(self, hardware):
        assert choosing.INT8 not in kinds(CPU, "auto", "auto") + kinds(CPU, "openvino", "auto")

    def test_is_all_that_the_hardware_has(self, hardware):
        hardware["amx_bf16"] = True
        assert kinds(CPU, "auto", "auto") == [kind for kind in choosing.KINDS if kind.precision != "float16"]
        assert kinds(CPU, "torch", "auto") == [Kind("torch", "float32"), Kind("torch", "bfloat16")]
        assert kinds(CPU, "auto", "bfloat16") == [Kind("torch", "bfloat16"), Kind("openvino", "bfloat16")]

    def test_is_what_is_told_even_if_it_is_slow(self, hardware):
        assert kinds(CPU, "auto", "bfloat16") == [Kind("torch", "bfloat16")]
        assert kinds(CPU, "openvino", "int8") == kinds(CPU, "auto", "int8") == [Kind("openvino", "int8")]

    def test_leaves_openvino_out_where_it_is_not_installed(self, hardware, monkeypatch):
        monkeypatch.setattr(choosing.importlib.util, "find_spec", lambda name: None)
        assert kinds(CPU, "auto", "auto") == [Kind("torch", "float32")]

    def test_is_torch_on_a_gpu_with_the_half_precisions_it_has(self, monkeypatch):
        for has_bfloat16 in (True, False):
            monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, it=has_bfloat16: it)
            precisions = [precision for back_end, precision in kinds(GPU, "auto", "auto")]
            assert precisions == ["float32", *["bfloat16"] * has_bfloat16, "float16"]

    @pytest.mark.parametrize(
        ("where", "back_end", "precision"),
        [(CPU, "torch", "int8"), (CPU, "openvino", "float16"), (GPU, "openvino", "auto")],
    )
    def test_is_an_error_if_nothing_can_do_it(self, where, back_end, precision):
        with pytest.raises(StartupError, match=f"back end {back_end} does not compute {precision} on {where}"):
            kinds(where, back_end, precision)


def test_told_float32_by_torch_nothing_is_measured(folder, monkeypatch):
    monkeypatch.delattr(choosing, "fastest")
    [encoder] = load_encoders(Choice(folder, "cpu", "torch", "float32"))
    assert (encoder.model.back_end, encoder.model.precision, encoder.model.device) == ("torch", "float32", "cpu")


def test_every_device_has_a_replica(folder, monkeypatch):
    monkeypatch.setattr(device, "devices", lambda setting: [CPU, CPU])
    first, second = load_encoders(Choice(folder, "auto", "torch", "float32"))
    assert first.model == second.model
    assert fidelity(first, second, dead_leaves(1, 40), ["a dog"]).worst == pytest.approx(1, abs=1e-6)


def test_left_to_itself_a_faithful_engine_is_loaded(folder, towers):
    [encoder] = load_encoders(Choice(folder, "cpu"))
    truth = TowerEncoder(towers, TorchEngine(towers, CPU, "float32"), towers.fingerprint)
    assert encoder.model.fingerprint == towers.fingerprint
    assert fidelity(encoder, truth, dead_leaves(4, 40), ["a dog"]).worst > SHARED_WORST


class TestFidelity:
    def test_of_the_reference_to_itself_is_perfect(self, towers):
        truth = TowerEncoder(towers, TorchEngine(towers, CPU, "float32"), towers.fingerprint)
        found = fidelity(truth, truth, dead_leaves(20, 40), ["a dog", "a cat"])
        assert found.mean == pytest.approx(1, abs=1e-6)
        assert found.worst == pytest.approx(1, abs=1e-6)
        assert found.top_10 == 1

    def test_tells_how_far_vectors_are_off(self, towers):
        truth = TowerEncoder(towers, TorchEngine(towers, CPU, "float32"), towers.fingerprint)
        noisy = TowerEncoder(towers, Altered(towers, QUICK, noise=0.3), towers.fingerprint)
        found = fidelity(noisy, truth, dead_leaves(20, 40), [])
        assert found.worst <= found.mean == pytest.approx(1 / np.sqrt(1 + 0.3**2), abs=0.02)
        assert found.top_10 is None

    def test_tells_how_many_of_the_ten_best_pictures_are_the_same(self, towers):
        truth = TowerEncoder(towers, TorchEngine(towers, CPU, "float32"), towers.fingerprint)
        blind = TowerEncoder(towers, Altered(towers, QUICK, noise=1e9), towers.fingerprint)
        assert fidelity(blind, truth, dead_leaves(20, 40), ["a dog", "a cat"]).top_10 < 1


def test_dead_leaves_cover_the_picture_in_many_colors():
    [picture] = dead_leaves(1, 64)
    pixels = np.asarray(picture).reshape(-1, 3)
    assert (pixels == 0).all(axis=1).mean() < 0.1
    assert len(np.unique(pixels, axis=0)) > 50
    assert [np.asarray(again).tolist() for again in dead_leaves(1, 64)] == [np.asarray(picture).tolist()]
