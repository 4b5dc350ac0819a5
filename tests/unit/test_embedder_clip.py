import json

import numpy as np
import pytest
from PIL import Image

from services.embedder.loading import Choice, load_encoders
from tests.checkpoints import CLIP_TOKENS, DIMENSION, IMAGE_SIZE, make_clip, make_siglip

TEXTS = ["a dog", "the cat on the mat", "x"]
LONG = "many words " * 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip"))


def load(folder, precision="float32"):
    return load_encoders(Choice(str(folder), "cpu", "torch", precision))[0]


def pictures(*sizes):
    random = np.random.default_rng(7)
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def images_of(encoder, images):
    return encoder.encode_images([encoder.prepare_image(image) for image in images])


def texts_of(encoder, texts):
    return encoder.encode_texts([encoder.prepare_text(text).inputs for text in texts])


def test_red_and_blue_are_told_apart(clip):
    red, blue = images_of(load(clip), [Image.new("RGB", (32, 32), color) for color in ("red", "blue")])
    assert red @ blue < 0.999


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_close_to_float32(clip, precision):
    images = pictures((40, 60))
    full, half = load(clip), load(clip, precision)
    assert (images_of(half, images) @ images_of(full, images).T).item() > 0.999


def test_embeddings_have_unit_length(clip):
    encoder = load(clip, "bfloat16")
    lengths = np.linalg.norm([*images_of(encoder, pictures((40, 60))), *texts_of(encoder, TEXTS)], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


@pytest.mark.parametrize("make", [make_clip, make_siglip])
def test_a_text_over_the_limit_is_cut_and_said_to_be(make, tmp_path):
    encoder = load(make(tmp_path))
    assert [encoder.prepare_text(text).truncated for text in ("short", LONG)] == [False, True]


def test_megabytes_of_text_count_as_truncated(clip):
    assert load(clip).prepare_text(" " * 200_000 + "a").truncated


def test_the_model_describes_itself(clip):
    model = load(clip, "bfloat16").model
    assert (model.name, model.dimension, model.image_size) == (str(clip), DIMENSION, IMAGE_SIZE)
    assert (model.max_text_tokens, model.device, model.precision) == (CLIP_TOKENS, "cpu", "bfloat16")


def test_logit_scale_does_not_lose_precision(clip):
    assert load(clip, "bfloat16").model.logit_scale == load(clip).model.logit_scale


def test_the_fingerprint_does_not_depend_on_precision(clip):
    assert load(clip, "bfloat16").model.fingerprint == load(clip).model.fingerprint


def test_the_fingerprint_does_not_depend_on_use(clip):
    used = load(clip)
    texts_of(used, [LONG])
    assert used.model.fingerprint == load(clip).model.fingerprint


def test_other_weights_have_another_fingerprint(clip, tmp_path):
    assert load(make_clip(tmp_path, seed=1)).model.fingerprint != load(clip).model.fingerprint


def test_other_preprocessing_has_another_fingerprint(clip, tmp_path):
    edit(make_clip(tmp_path) / "preprocessor_config.json", image_mean=[0, 0, 0])
    assert load(tmp_path).model.fingerprint != load(clip).model.fingerprint


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
