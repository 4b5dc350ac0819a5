"""Which pictures are kept with a video, and what of them."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.common.media import MAX_IMAGE_BYTES, Segment
from services.indexer import images as module
from services.indexer.images import ImageRule, Images, Keep, jpeg
from services.indexer.sampling import Candidate
from tests.videos import scene_picture

SCENE = Segment(0, 900)


def samples(*offsets_ns: int) -> list[Candidate]:
    return [Candidate(offset_ns, scene_picture(number)) for number, offset_ns in enumerate(offsets_ns)]


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def shown(image: bytes) -> NDArray[np.uint8]:
    """RGB."""
    bgr = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def test_an_image_shows_its_picture_in_its_colors() -> None:
    picture = scene_picture(3, (320, 224))
    assert np.abs(shown(jpeg(picture)).astype(int) - picture).mean() < 3


@pytest.mark.parametrize("size", [(224, 398), (224, 896), (384, 683)])
def test_even_noise_is_small_enough(size: tuple[int, int]) -> None:
    image = jpeg(noise(*size))
    assert 0 < len(image) <= MAX_IMAGE_BYTES
    assert shown(image).shape == (*size, 3)


def test_a_picture_that_cannot_be_small_enough_has_no_image() -> None:
    assert jpeg(noise(1024, 1024)) == b""


def test_the_sample_nearest_to_the_middle_stands_for_its_scene() -> None:
    kept = Images(Keep.SCENE, 0).of(SCENE, samples(100, 430, 500, 800))
    assert [bool(image) for image in kept] == [False, True, False, False]
    assert kept[1] == jpeg(scene_picture(1))


def test_each_sample_or_none_is_kept_as_the_rule_says() -> None:
    found = samples(100, 430)
    assert Images(Keep.SAMPLES, 0).of(SCENE, found) == (jpeg(scene_picture(0)), jpeg(scene_picture(1)))
    assert Images(Keep.NONE, 0).of(SCENE, found) == (b"", b"")


def test_what_a_video_keeps_is_bounded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(jpeg(scene_picture(0)))
    monkeypatch.setattr(module, "MAX_VIDEO_IMAGE_BYTES", 4 * size)
    images = Images(Keep.SAMPLES, taken_bytes=2 * size)
    same = [Candidate(n, scene_picture(0)) for n in range(3)]
    assert [bool(image) for image in images.of(SCENE, same)] == [True, True, False]
    assert images.of(SCENE, same) == (b"", b"", b"")


def test_rules_that_make_other_images_have_another_basis() -> None:
    rules = [ImageRule(), *(ImageRule(keep, side) for keep in Keep for side in (256, 384)), ImageRule(Keep.SCENE)]
    assert len({rule.basis for rule in rules}) == len(rules)
    assert ImageRule().basis == ""
