import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, SiglipModel

from services.common.errors import StartupError
from services.embedder.loading import load_encoder
from tests.checkpoints import CLIP_TOKENS, DIMENSION, IMAGE_SIZE, SIGLIP_TOKENS, make_clip, make_siglip

TEXTS = ["a dog", "the cat on the mat", "x"]
LONG = "many words " * 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return make_siglip(tmp_path_factory.mktemp("siglip"))


def load(folder, precision="float32"):
    return load_encoder(str(folder), "cpu", precision)


def pictures(*sizes):
    random = np.random.default_rng(7)
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def encode(encoder, images):
    return encoder.encode_images([encoder.prepare(image) for image in images])


def plain_logits(model, folder, images, padding):
    """logits_per_image of transformers' own forward."""
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=padding, truncation=True, return_tensors="pt")
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images, return_tensors="pt")
    with torch.inference_mode():
        return model.eval()(**tokens, **pixels).logits_per_image.numpy()


def test_cosine_times_logit_scale_is_the_logit_of_clip(clip):
    encoder, images = load(clip), pictures((40, 60), (99, 33), (32, 32))
    cosines = encode(encoder, images) @ encoder.encode_texts(TEXTS).matrix.T
    expected = plain_logits(CLIPModel.from_pretrained(clip), clip, images, padding=True)
    np.testing.assert_allclose(cosines * encoder.model.logit_scale, expected, atol=1e-4)


def test_cosine_times_logit_scale_and_bias_is_the_logit_of_siglip(siglip):
    encoder, images, model = load(siglip), pictures((40, 60), (99, 33)), SiglipModel.from_pretrained(siglip)
    cosines = encode(encoder, images) @ encoder.encode_texts(TEXTS).matrix.T
    expected = plain_logits(model, siglip, images, padding="max_length")
    np.testing.assert_allclose(cosines * encoder.model.logit_scale + model.logit_bias.item(), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (32, 32), (2, 1), (500, 30)])
def test_pixels_are_those_of_the_checkpoints_processor(clip, size):
    (image,) = pictures(size)
    expected = AutoImageProcessor.from_pretrained(clip, backend="pil")(image, return_tensors="np")["pixel_values"][0]
    assert np.array_equal(load(clip).prepare(image)["pixel_values"], expected)


def test_red_and_blue_are_told_apart(clip):
    red, blue = encode(load(clip), [Image.new("RGB", (32, 32), color) for color in ("red", "blue")])
    assert red @ blue < 0.999


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_to_float32(clip, precision):
    images = pictures((40, 60))
    full, half = load(clip), load(clip, precision)
    assert (encode(half, images) @ encode(full, images).T).item() > 0.999


def test_embeddings_have_unit_length(clip):
    encoder = load(clip, "bfloat16")
    lengths = np.linalg.norm([*encode(encoder, pictures((40, 60))), *encoder.encode_texts(TEXTS).matrix], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_a_batch_gives_what_single_calls_give(clip):
    encoder = load(clip)
    singles = np.concatenate([encoder.encode_texts([text]).matrix for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS).matrix, singles, atol=1e-5)


@pytest.mark.parametrize("make", [make_clip, make_siglip])
def test_a_text_over_the_limit_is_cut_and_said_to_be(make, tmp_path):
    assert load(make(tmp_path)).encode_texts(["short", LONG]).truncated == (False, True)


def test_megabytes_of_text_count_as_truncated(clip):
    assert load(clip).encode_texts([" " * 200_000 + "a"]).truncated == (True,)


def test_the_model_describes_itself(clip):
    model = load(clip, "bfloat16").model
    assert (model.name, model.dimension, model.image_size) == (str(clip), DIMENSION, IMAGE_SIZE)
    assert (model.max_text_tokens, model.device, model.precision) == (CLIP_TOKENS, "cpu", "bfloat16")


def test_the_limit_of_siglip_is_its_own(siglip):
    assert load(siglip).model.max_text_tokens == SIGLIP_TOKENS


def test_logit_scale_does_not_lose_precision(clip):
    assert load(clip, "bfloat16").model.logit_scale == load(clip).model.logit_scale


def test_the_fingerprint_does_not_depend_on_precision(clip):
    assert load(clip, "bfloat16").model.fingerprint == load(clip).model.fingerprint


def test_the_fingerprint_does_not_depend_on_use(clip):
    used = load(clip)
    used.encode_texts([LONG])
    assert used.model.fingerprint == load(clip).model.fingerprint


def test_other_weights_have_another_fingerprint(clip, tmp_path):
    assert load(make_clip(tmp_path, seed=1)).model.fingerprint != load(clip).model.fingerprint


def test_other_preprocessing_has_another_fingerprint(clip, tmp_path):
    edit(make_clip(tmp_path) / "preprocessor_config.json", image_mean=[0, 0, 0])
    assert load(tmp_path).model.fingerprint != load(clip).model.fingerprint


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens on "discard"


def failure(name):
    with pytest.raises(StartupError) as caught:
        load(name)
    return str(caught.value)


@pytest.mark.parametrize("name", ["some/model", "no such name!", "/no/such/folder"])
def test_a_model_that_is_nowhere_gets_one_line_with_the_three_ways_out(name, no_network):
    message = failure(name)
    assert "\n" not in message
    assert all(way in message for way in (name, "local folder", "cache", "lite"))


def test_an_empty_folder_is_named(tmp_path):
    assert "no usable model" in failure(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path):
    (make_clip(tmp_path) / "model.safetensors").unlink()
    assert "no usable model" in failure(tmp_path)


def test_damaged_weights_are_refused(tmp_path):
    (make_clip(tmp_path) / "model.safetensors").write_bytes(b"damaged")
    assert "no usable model" in failure(tmp_path)


def test_weights_that_lack_some_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    path = make_clip(tmp_path) / "model.safetensors"
    weights = load_file(path)
    save_file({name: weights[name] for name in weights if name != "visual_projection.weight"}, path, {"format": "pt"})
    assert "weights are missing, such as visual_projection.weight" in failure(tmp_path)


def test_a_model_without_two_towers_is_refused(tmp_path):
    from transformers import BertConfig, BertModel

    small = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    BertModel(small).save_pretrained(tmp_path)
    assert "BertModel has no text and image towers" in failure(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(clip):
    with pytest.raises(StartupError, match="cuda:3"):
        load_encoder(str(clip), "cuda:3", "float32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA can use")
def test_a_gpu_gives_what_the_cpu_gives(clip):
    cpu, gpu, images = load(clip), load_encoder(str(clip), "cuda", "float32"), pictures((40, 60), (99, 33))
    np.testing.assert_allclose(encode(gpu, images), encode(cpu, images), atol=1e-3)
    np.testing.assert_allclose(gpu.encode_texts(TEXTS).matrix, cpu.encode_texts(TEXTS).matrix, atol=1e-3)
