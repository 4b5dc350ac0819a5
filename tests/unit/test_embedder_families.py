"""Each family of checkpoints against the library's own forward pass."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from services.common.errors import StartupError
from services.embedder.loading import Choice, load_encoders, load_towers
from services.embedder.tower_encoder import TowerEncoder
from tests.checkpoints import (
    ALTCLIP_TOKENS,
    CHINESE_CLIP_TOKENS,
    CLIP_TOKENS,
    FAMILIES,
    IMAGE_SIZE,
    SIGLIP_TOKENS,
    make_naflex,
    make_siglip2,
)

SIGLIPS = ("siglip", "siglip2", "naflex")
TEXTS = ["a dog", "the cat on the mat", "x", "", "many words " * 20]
SIZES = ((40, 60), (99, 33), (32, 32), (7, 5))
LIMITS = {
    "clip": CLIP_TOKENS,
    "chinese_clip": CHINESE_CLIP_TOKENS,
    "altclip": ALTCLIP_TOKENS,
    **dict.fromkeys(SIGLIPS, SIGLIP_TOKENS),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    return FAMILIES[family](tmp_path_factory.mktemp(family))


@pytest.fixture(scope="module")
def encoder(folder):
    return load_encoders(Choice(str(folder), "cpu", "torch", "float32"))[0]


def pictures(*sizes):
    random = np.random.default_rng(7)
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def logits(encoder, images, texts, bias):
    matrix = encoder.encode_images([encoder.prepare_image(image) for image in images])
    words = encoder.encode_texts([encoder.prepare_text(text).inputs for text in texts])
    return matrix @ words.T * encoder.model.logit_scale + bias


def tokens_of(folder, family, texts):
    """As the library's documentation calls the tokenizer."""
    padding = "max_length" if family in SIGLIPS else True
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(texts, padding=padding, truncation=True, max_length=LIMITS[family], return_tensors="pt")


def test_cosine_times_scale_plus_bias_is_the_librarys_logit(family, folder, encoder):
    model = AutoModel.from_pretrained(folder).eval()
    images = pictures(*SIZES)
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**tokens_of(folder, family, TEXTS), **pixels).logits_per_image.numpy()
    bias = model.logit_bias.item() if family in SIGLIPS else 0
    assert expected.std() > 0.01
    np.testing.assert_allclose(logits(encoder, images, TEXTS, bias), expected, atol=1e-4)


def test_a_text_alone_gives_what_it_gives_among_longer_ones(encoder):
    inputs = [encoder.prepare_text(text).inputs for text in TEXTS]
    singles = np.concatenate([encoder.encode_texts([one]) for one in inputs])
    np.testing.assert_allclose(encoder.encode_texts(inputs), singles, atol=1e-5)


def test_an_image_alone_gives_what_it_gives_among_others(encoder):
    inputs = [encoder.prepare_image(image) for image in pictures(*SIZES)]
    singles = np.concatenate([encoder.encode_images([one]) for one in inputs])
    np.testing.assert_allclose(encoder.encode_images(inputs), singles, atol=1e-5)


def test_the_limit_is_what_the_model_has_positions_for(family, encoder):
    assert encoder.model.max_text_tokens == LIMITS[family]


def test_a_text_of_the_limit_is_whole_and_one_token_more_is_cut(family, encoder):
    lengths = {len(encoder.prepare_text("a " * count).inputs["input_ids"]): count for count in range(2, 30)}
    longest = lengths[LIMITS[family]]
    cut = [encoder.prepare_text("a " * count).truncated for count in range(2, 30)]
    assert cut == sorted(cut)
    assert cut[0] is False
    assert cut[-1] is True
    assert len(encoder.prepare_text("a " * 29).inputs["input_ids"]) == LIMITS[family]
    assert np.isfinite(encoder.encode_texts([encoder.prepare_text("a " * longest).inputs])).all()


def test_the_model_says_how_large_it_sees_images(encoder):
    assert encoder.model.image_size == IMAGE_SIZE


def test_the_lowercase_of_siglip2_is_kept_where_the_library_forgets_it(tmp_path):
    folder = make_siglip2(tmp_path)
    upper, lower = (load_towers(str(folder)).tokenize(text).inputs["input_ids"] for text in ("A DOG", "a dog"))
    assert upper.tolist() == lower.tolist()


def test_texts_for_siglip_have_no_mask_even_if_the_checkpoints_file_asks_for_one(tmp_path):
    folder = make_siglip2(tmp_path)
    before = load_towers(str(folder)).tokenize
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(
        json.dumps({**settings, "model_input_names": ["input_ids", "attention_mask"], "padding_side": "left"})
    )
    after = load_towers(str(folder)).tokenize
    found, expected = (tokenize.collate([tokenize("a dog").inputs]) for tokenize in (after, before))
    assert found.keys() == {"input_ids"}
    assert found["input_ids"].tolist() == expected["input_ids"].tolist()


def test_bytes_normalized_in_the_tower_are_the_pixels_of_the_librarys_processor(folder, family):
    if family == "naflex":
        pytest.skip("the library's own arrays are used")
    processor, towers = AutoImageProcessor.from_pretrained(folder, backend="pil"), load_towers(str(folder))
    for image in pictures((64, 48), (48, 64), (32, 32), (2, 1), (500, 30)):
        pixels = torch.from_numpy(towers.prepare_image(image)["pixels"].copy())
        expected = processor(image, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(towers.images.normalize(pixels.unsqueeze(0)), expected, atol=1e-5, rtol=0)


def test_openvino_computes_what_torch_does(family, folder, encoder):
    engines = pytest.importorskip("services.embedder.openvino_engine", exc_type=StartupError)
    if family == "naflex":
        with pytest.raises(StartupError, match="only torch computes"):
            load_encoders(Choice(str(folder), "cpu", "openvino", "float32"))
        return
    towers, images = load_towers(str(folder)), pictures(*SIZES)
    converted = TowerEncoder(towers, engines.OpenVinoEngine(towers, "float32", []), towers.fingerprint)
    np.testing.assert_allclose(logits(converted, images, TEXTS, 0), logits(encoder, images, TEXTS, 0), atol=1e-4)


def test_naflex_is_left_to_torch_where_the_choice_is_free(tmp_path):
    assert load_encoders(Choice(str(make_naflex(tmp_path))))[0].model.back_end == "torch"
