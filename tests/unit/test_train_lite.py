import numpy as np
import pytest
import torch
from PIL import Image

from services.embedder.heads import Heads
from tools import train_lite
from tools.lite_data import VIEWS, LiteData, in_words, seen
from tools.photographs import Photograph
from tools.train_lite import contrast, join, judged, train_head

COUNT = 24


@pytest.fixture
def data():
    """Made-up photographs whose captions have nothing to do with them."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 2, (COUNT, 2024)) + rng.normal(0, 0.01, (VIEWS, COUNT, 2024))
    captions = rng.normal(0, 0.05, (COUNT, 1, 1536)) + rng.normal(0, 0.005, (COUNT, 5, 1536))
    classes = rng.normal(0, 0.05, (5, 1000, 1536))
    return LiteData(*(array.astype(np.float16) for array in (features, captions, classes)))


@pytest.fixture
def cache(data, tmp_path, monkeypatch):
    for name in ("features", "captions", "classes"):
        np.save(tmp_path / f"{name}.npy", getattr(data, name))
    for name, value in {"BATCH": COUNT, "EPOCHS": 40, "HIDDEN": 64, "CLASS_BATCH": 16}.items():
        monkeypatch.setattr(train_lite, name, value)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def test_a_trained_head_finds_the_photographs_of_its_captions_and_an_untrained_one_does_not(data, cache):
    heads = Heads(1, 64, 512).eval()
    numbers = np.arange(COUNT)
    found = []
    for _ in range(2):
        join(heads, data, numbers, 0.0, 512)
        found.append(judged(heads, data, numbers)["r1"])
        image_head, text_head = train_head(cache, numbers, seed=1)
        heads.of_images[0].load_state_dict(image_head)
        heads.of_texts[0].load_state_dict(text_head)
    assert found[0] < 25
    assert found[1] > 75


def test_training_is_repeatable(cache):
    first, again = (train_head(cache, np.arange(COUNT), seed=1)[0] for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_the_loss_is_least_where_each_image_chooses_its_text():
    assert contrast(9 * torch.eye(4)) < 0.01 < contrast(torch.zeros(4, 4)) < contrast(-9 * torch.eye(4))


def test_views_are_the_photograph_its_mirror_image_and_parts_of_it():
    picture = Image.linear_gradient("L").resize((224, 224)).rotate(90)
    coded = picture.convert("RGB").tobytes()

    class Plain(Photograph):
        def picture(self):
            return Image.frombytes("RGB", (224, 224), self.coded)

    plain, mirrored, *parts = (next(iter(seen([Plain("one", (), coded)], view))) for view in range(VIEWS))
    assert plain.tobytes() == coded
    assert mirrored.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() == coded
    assert all(part.size == (224, 224) and part.tobytes() != coded for part in parts)


def test_a_class_in_words_has_its_article_or_stands_alone():
    assert in_words("ox", "a photo of {}") == "a photo of an ox"
    assert in_words("tench", "{}") == "a tench"
    assert in_words("tench", "") == "tench"
