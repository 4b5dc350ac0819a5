import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from services.common.errors import StartupError
from services.embedder import torch_engine
from services.embedder.batches import padded, rounded_up
from services.embedder.device import CPU, devices
from services.embedder.encoder import DeviceLostError
from services.embedder.fidelity import dead_leaves, fidelity
from services.embedder.loading import Choice, load_encoders, load_towers
from services.embedder.pixels import Normalize, Resize
from services.embedder.torch_engine import WHOLE_PIXELS, TorchEngine
from services.embedder.tower_encoder import Fitting, TowerEncoder
from tests.checkpoints import make_clip

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
TEXTS = ["a dog", "the cat on the mat", "x"]

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    return load_towers(str(make_clip(tmp_path_factory.mktemp("clip"))))


def encoder_of(towers, engine):
    return TowerEncoder(towers, engine, towers.fingerprint)


def on_cpu(towers, precision="float32", **options):
    return encoder_of(towers, TorchEngine(towers, CPU, precision, **options))


def embedded(encoder, pictures):
    return encoder.encode_images([encoder.prepare_image(picture) for picture in pictures])


class TestHalfPrecision:
    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_agrees_with_float32(self, towers, precision):
        found = fidelity(on_cpu(towers, precision), on_cpu(towers), dead_leaves(4, 48), TEXTS)
        assert 0.99 < found.worst < 1

    def test_leaves_the_original_in_float32(self, towers):
        before = copy.deepcopy(towers.images.state_dict())
        on_cpu(towers, "bfloat16")
        assert all(torch.equal(before[name], tensor) for name, tensor in towers.images.state_dict().items())

    def test_copies_what_the_towers_share_once(self, towers):
        images, texts = torch_engine._placed((towers.images, towers.texts), CPU, "bfloat16")
        assert images.model is texts.model is not towers.images.model

    def test_keeps_no_more_of_a_long_picture_than_the_model_sees(self, towers):
        pixels = towers.prepare_image(Image.new("RGB", (1000, 10)))["pixels"]
        assert pixels.base is None or pixels.base.nbytes == pixels.nbytes

    def test_normalizes_pixels_in_float32(self):
        mean, std = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
        pixels = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
        whole, half = Normalize(mean, std), nn.Sequential(Normalize(mean, std)).to(torch.bfloat16)
        expected = (pixels / 255 - torch.tensor(mean)) / torch.tensor(std)
        torch.testing.assert_close(half(pixels), expected.permute(0, 3, 1, 2))
        assert torch.equal(half(pixels), whole(pixels))


class TestBatches:
    @pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (5, 8), (64, 64), (65, 128)])
    def test_are_padded_to_powers_of_two(self, count, size):
        assert rounded_up(count) == size == len(padded([{}] * count))

    def test_of_any_size_give_each_item_its_own_row(self, towers):
        encoder = on_cpu(towers)
        pictures = dead_leaves(5, 32)
        alone = np.concatenate([embedded(encoder, [picture]) for picture in pictures])
        np.testing.assert_allclose(embedded(encoder, pictures), alone, atol=1e-5)


class LittleMemory:
    """Doubles items; has room for `room` of them."""

    def __init__(self, room):
        self.room = room
        self.sizes = []

    def __call__(self, items):
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return np.array([[2 * item] for item in items])


class TestOutOfMemory:
    def test_halves_the_batch_until_it_fits(self):
        memory = LittleMemory(room=5)
        assert Fitting(memory)(range(16)).tolist() == [[2 * n] for n in range(16)]
        assert memory.sizes == [16, 8, 4, 4, 4, 4]

    def test_is_remembered(self):
        memory = LittleMemory(room=5)
        fitting = Fitting(memory)
        fitting(range(16))
        memory.sizes.clear()
        assert fitting(range(11)).tolist() == [[2 * n] for n in range(11)]
        assert memory.sizes == [4, 4, 4]  # 4 + 4 + 3

    def test_of_one_item_is_an_error_and_the_next_call_is_served(self):
        memory = LittleMemory(room=0)
        fitting = Fitting(memory)
        with pytest.raises(torch.OutOfMemoryError):
            fitting([7])
        memory.room = 1
        assert fitting([7]).tolist() == [[14]]

    def test_of_images_leaves_texts_alone(self, towers):
        encoder = on_cpu(towers)
        encoder._images = Fitting(LittleMemory(room=1))
        encoder._images(range(4))
        assert (encoder._images._limit, encoder._texts._limit > 1000) == (1, True)


def test_an_error_of_the_device_means_that_it_is_lost(towers, monkeypatch):
    engine = TorchEngine(towers, CPU, "float32")

    def fail(**_):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with ...")

    encoder = encoder_of(towers, engine)
    monkeypatch.setattr(engine, "_images", fail)
    with pytest.raises(DeviceLostError, match=r"cpu: CUDA error: an illegal memory access was encountered$"):
        embedded(encoder, dead_leaves(1, 32))


def photograph(width, height):
    """With edges at all scales, in the given shape."""
    side = max(width, height)
    return dead_leaves(1, side)[0].crop((0, 0, width, height))


class TestResizeOnTheDevice:
    @pytest.mark.parametrize(
        "resize", [Resize(224, 224, BICUBIC, 224), Resize(224, 224, BILINEAR, 256), Resize(64, 96, BICUBIC)]
    )
    @pytest.mark.parametrize("size", [(640, 360), (360, 640), (224, 224), (100, 80), (700, 701)])
    def test_gives_the_pixels_that_pillow_gives(self, resize, size):
        picture = photograph(*size)
        expected = resize(picture)["pixels"].astype(int)
        found = resize.on_device(torch.from_numpy(np.array(picture))[None])[0].numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 0.5  # of 255

    def test_gives_the_vectors_that_pillow_gives(self, towers):
        pictures = [photograph(*size) for size in [(64, 48), (48, 64), (64, 48), (200, 90), (32, 32)]]
        found = fidelity(on_cpu(towers, resizes=True), on_cpu(towers), pictures, [])
        assert found.worst > 0.9999

    def test_is_done_only_for_pictures_up_to_a_size(self, towers):
        encoder = on_cpu(towers, resizes=True)
        small, large = Image.new("RGB", (64, 48)), Image.new("RGB", (WHOLE_PIXELS // 100 + 1, 100))
        assert encoder.prepare_image(small)["pixels"].shape == (48, 64, 3)
        assert encoder.prepare_image(large)["pixels"].shape == (32, 32, 3)
        assert len(encoder.encode_images([encoder.prepare_image(image) for image in (small, large, small)])) == 3

    def test_is_left_to_pillow_where_torch_has_no_such_filter(self, towers):
        assert not Resize(32, 32, Image.Resampling.LANCZOS).in_torch


class TestDevices:
    def test_auto_is_the_cpu_without_a_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        assert devices("auto") == devices("cpu") == [CPU]

    def test_cuda_is_every_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert [str(device) for device in devices("cuda")] == ["cuda:0", "cuda:1"] == [str(d) for d in devices("auto")]
        assert [str(device) for device in devices("cuda:1")] == ["cuda:1"]

    @pytest.mark.parametrize("setting", ["cuda", "cuda:0", "cuda:7"])
    def test_a_gpu_that_is_not_there_is_refused(self, setting, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        with pytest.raises(StartupError, match=f"device {setting} is not there: torch sees 0 GPUs"):
            devices(setting)


@needs_gpu
class TestGpu:
    def test_agrees_with_the_cpu_in_float32(self, towers):
        pictures = [photograph(*size) for size in [(64, 48), (48, 64), (64, 48)]]
        gpu = TorchEngine(towers, torch.device("cuda:0"), "float32", resizes=True)
        assert fidelity(encoder_of(towers, gpu), on_cpu(towers), pictures, TEXTS).worst > 0.9999

    def test_is_taken_by_itself(self, tmp_path):
        encoders = load_encoders(Choice(str(make_clip(tmp_path))))
        assert [encoder.model.device for encoder in encoders] == [f"cuda:{n}" for n in range(torch.cuda.device_count())]
