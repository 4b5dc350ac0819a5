import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.common import vectors
from services.embedder.device import placement
from services.embedder.lite import CLASSES, LiteEncoder
from services.embedder.loading import load_encoder
from services.embedder.minilm import MiniLM
from tools.lite_classes import class_names, compute_classes


@pytest.fixture(scope="module")
def lite():
    return load_encoder("lite", "cpu", "float32")


def pictures(count):
    random = np.random.default_rng(7)
    return [Image.fromarray(random.integers(0, 256, (90, 160, 3), dtype=np.uint8)) for _ in range(count)]


def encode(encoder, images):
    return encoder.encode_images([encoder.prepare(image) for image in images])


def test_there_are_a_thousand_classes():
    assert (len(class_names()), class_names()[0], class_names()[-1]) == (1000, "tench", "toilet paper")


def test_the_model_describes_itself(lite):
    model = lite.model
    assert (model.name, model.dimension, model.image_size) == ("lite", 384, 224)
    assert (model.max_text_tokens, model.logit_scale, model.precision) == (256, 0, "float32")


def test_embeddings_have_unit_length(lite):
    matrix = np.concatenate([encode(lite, pictures(2)), lite.encode_texts(["a dog", "snow"]).matrix])
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_a_batch_gives_what_single_images_give(lite):
    images = pictures(3)
    singles = np.concatenate([encode(lite, [image]) for image in images])
    np.testing.assert_allclose(encode(lite, images), singles, atol=1e-4)


def test_a_batch_gives_what_single_texts_give(lite):
    texts = ["a dog", "two people ride bicycles through a busy street", "snow"]
    singles = np.concatenate([lite.encode_texts([text]).matrix for text in texts])
    np.testing.assert_allclose(lite.encode_texts(texts).matrix, singles, atol=1e-5)


def test_a_text_is_nearest_to_the_text_of_its_meaning(lite):
    query, same, other = lite.encode_texts(["a puppy", "a small dog", "a steam locomotive"]).matrix
    assert query @ same > query @ other + 0.2


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
    scores = lite.encode_texts(texts).matrix @ encode(lite, [image])[0]
    return texts[int(scores.argmax())]


def test_the_stored_classes_are_what_minilm_says_of_their_names():
    some = range(0, 1000, 97)
    computed = compute_classes(MiniLM(placement("cpu", "float32")), [class_names()[index] for index in some])
    assert ((computed * vectors.normalize(np.load(CLASSES))[list(some)]).sum(axis=1) > 0.99999).all()


def test_a_text_over_the_limit_is_cut_and_said_to_be(lite):
    assert lite.encode_texts(["short", "word " * 300]).truncated == (False, True)


def test_an_image_of_any_shape_is_squeezed_into_the_square(lite):
    assert lite.prepare(Image.new("RGB", (640, 36)))["pixels"].shape == (224, 224, 3)


def test_bfloat16_is_close_and_has_the_same_fingerprint(lite):
    half = LiteEncoder("lite", placement("cpu", "bfloat16"))
    images = pictures(1)
    assert half.model.fingerprint == lite.model.fingerprint
    assert (encode(half, images) @ encode(lite, images).T).item() > 0.98


WITHOUT_NETWORK = """
import sys
asked = []
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
sys.addaudithook(lambda event, arguments: event in NETWORK and asked.append((event, arguments)))

from PIL import Image
from services.embedder.loading import load_encoder

lite = load_encoder("lite", "cpu", "float32")
lite.encode_images([lite.prepare(Image.new("RGB", (64, 48)))])
lite.encode_texts(["a dog"])
sys.exit(f"it asked the network: {asked}" if asked else None)
"""


def test_neither_loading_nor_use_asks_the_network():
    process = subprocess.run([sys.executable, "-c", WITHOUT_NETWORK], stderr=subprocess.PIPE, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
