import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from services.common import vectors
from services.embedder import lite as lite_module
from services.embedder.heads import WIDTH, Heads
from services.embedder.lite import CLASSES, HEADS, load_lite
from services.embedder.loading import Choice, load_encoders
from services.embedder.torch_engine import TorchEngine
from services.embedder.tower_encoder import TowerEncoder
from tools.lite_classes import class_names, compute_classes


@pytest.fixture(scope="module")
def lite():
    (encoder,) = load_encoders(Choice("lite", "cpu", "torch", "float32"))
    return encoder


def pictures(count):
    random = np.random.default_rng(7)
    return [Image.fromarray(random.integers(0, 256, (90, 160, 3), dtype=np.uint8)) for _ in range(count)]


def encode(encoder, images):
    return encoder.encode_images([encoder.prepare_image(image) for image in images])


def read(encoder, texts):
    return encoder.encode_texts([encoder.prepare_text(text).inputs for text in texts])


def test_there_are_a_thousand_classes():
    assert (len(class_names()), class_names()[0], class_names()[-1]) == (1000, "tench", "toilet paper")


def test_the_model_describes_itself(lite):
    model = lite.model
    assert (model.name, model.dimension, model.image_size) == ("lite", 384, 224)
    assert (model.max_text_tokens, model.logit_scale, model.precision) == (256, 0, "float32")


def test_embeddings_have_unit_length(lite):
    matrix = np.concatenate([encode(lite, pictures(2)), read(lite, ["a dog", "snow"])])
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_a_batch_gives_what_single_images_give(lite):
    images = pictures(3)
    singles = np.concatenate([encode(lite, [image]) for image in images])
    np.testing.assert_allclose(encode(lite, images), singles, atol=1e-4)


def test_a_batch_gives_what_single_texts_give(lite):
    texts = ["a dog", "two people ride bicycles through a busy street", "snow"]
    singles = np.concatenate([read(lite, [text]) for text in texts])
    np.testing.assert_allclose(read(lite, texts), singles, atol=1e-5)


def test_a_text_is_nearest_to_the_text_of_its_meaning(lite):
    query, same, other = read(lite, ["a puppy", "a small dog", "a steam locomotive"])
    assert query @ same > query @ other + 0.1


def test_a_drawn_crossword_is_nearest_to_its_name(lite):
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    for row, column in itertools.product(range(9), repeat=2):
        color = "black" if (row * column + row + column) % 4 == 0 else "white"
        draw.rectangle((10 + 26 * row, 10 + 26 * column, 36 + 26 * row, 36 + 26 * column), fill=color, outline="black")
    assert nearest(lite, image) == "a crossword puzzle"


def test_drawn_traffic_lights_are_nearest_to_their_name(lite):
    """Fails if red and blue are swapped."""
    image = Image.new("RGB", (256, 256))
    draw = ImageDraw.Draw(image)
    for row, color in enumerate(("red", "orange", "green")):
        draw.ellipse((80, 20 + 75 * row, 150, 85 + 75 * row), fill=color)
    assert nearest(lite, image) == "traffic lights at night"


def nearest(lite, image):
    texts = ["a crossword puzzle", "traffic lights at night", "a dog in the snow", "a plate of food"]
    scores = read(lite, texts) @ encode(lite, [image])[0]
    return texts[int(scores.argmax())]


def test_the_stored_classes_are_what_minilm_says_of_their_names():
    some = range(0, 1000, 97)
    computed = compute_classes([class_names()[index] for index in some])
    assert ((computed * vectors.normalize(np.load(CLASSES))[list(some)]).sum(axis=1) > 0.99999).all()


def test_a_text_over_the_limit_is_cut_and_said_to_be(lite):
    assert [lite.prepare_text(text).truncated for text in ("short", "word " * 300)] == [False, True]


def test_an_image_of_any_shape_is_squeezed_into_the_square(lite):
    assert lite.prepare_image(Image.new("RGB", (640, 36)))["pixels"].shape == (224, 224, 3)


def test_bfloat16_is_close(lite):
    half = TowerEncoder(load_lite("lite"), TorchEngine(load_lite("lite"), torch.device("cpu"), "bfloat16"), "any")
    cosines = [encode(half, pictures(1)) @ encode(lite, pictures(1)).T, read(half, ["a dog"]) @ read(lite, ["a dog"]).T]
    assert np.min(cosines) > 0.99


def test_the_heads_that_are_shipped_are_small():
    assert HEADS.stat().st_size < 20e6


@torch.inference_mode()
def test_the_joint_keeps_nearly_all_of_a_vectors_length(lite):
    towers = load_lite("lite")
    text = towers.tokenize.collate([lite.prepare_text("two dogs run through the snow").inputs])
    pixels = lite.prepare_image(pictures(1)[0])["pixels"][np.newaxis].copy()
    image_vector = towers.images.eval()(torch.from_numpy(pixels))
    text_vector = towers.texts.eval()(**{name: torch.from_numpy(array) for name, array in text.items()})
    assert [image_vector.norm().item(), text_vector.norm().item()] == pytest.approx([1, 1], abs=0.1)


def test_heads_and_conse_share_the_score_as_the_joint_says():
    """One head that agrees fully, and ConSE that says the opposite."""
    heads = Heads(1, 8, 2 * WIDTH)
    heads.joint = torch.diag(torch.tensor([0.8] * WIDTH + [0.2] * WIDTH).sqrt())
    sentence = torch.nn.functional.normalize(torch.rand(1, 1536), dim=1)
    heads.of_images[0].forward = lambda features: heads.of_texts[0](sentence)
    conse = torch.nn.functional.normalize(torch.rand(1, WIDTH), dim=1)
    score = heads.images(torch.rand(1, 2024), conse) @ heads.texts(sentence, -conse).T
    assert score.item() == pytest.approx(0.8 - 0.2)


def test_other_heads_have_another_fingerprint(lite, tmp_path, monkeypatch):
    weights = load_file(HEADS)
    weights["joint"][0, 0] += 0.01
    save_file(weights, tmp_path / "heads.safetensors")
    monkeypatch.setattr(lite_module, "HEADS", tmp_path / "heads.safetensors")
    assert load_lite("lite").fingerprint != lite.model.fingerprint


WITHOUT_NETWORK = """
import sys
asked = []
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
sys.addaudithook(lambda event, arguments: event in NETWORK and asked.append((event, arguments)))

from PIL import Image
from services.embedder.loading import Choice, load_encoders

(lite,) = load_encoders(Choice("lite", "cpu", "torch", "float32"))
lite.encode_images([lite.prepare_image(Image.new("RGB", (64, 48)))])
lite.encode_texts([lite.prepare_text("a dog").inputs])
sys.exit(f"it asked the network: {asked}" if asked else None)
"""


def test_neither_loading_nor_use_asks_the_network():
    process = subprocess.run([sys.executable, "-c", WITHOUT_NETWORK], stderr=subprocess.PIPE, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
