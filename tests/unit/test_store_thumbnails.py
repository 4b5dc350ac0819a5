"""Images are kept with their scenes, and gone with them."""

from dataclasses import replace

import numpy as np
import plyvel
import pytest

from services.common.errors import InvalidInputError, NotFoundError
from services.common.media import MAX_IMAGE_BYTES, Scene
from services.store import draft as drafts
from services.store import records, thumbnails
from services.store.catalog import Catalog
from tests.stores import SECOND, image, indexed, scenes, video, with_images

IMAGES = [image(1), b"", image(3)]


def images_of(listed: tuple[Scene, ...]) -> list[list[bytes]]:
    return [[sample.image for sample in one.samples] for one in listed]


def image_keys(folder) -> list[bytes]:
    with plyvel.DB(str(folder)) as database:
        return list(database.iterator(prefix=b"image/", include_value=False))


@pytest.fixture
def catalog(tmp_path):
    with Catalog(tmp_path) as catalog:
        yield catalog


def test_scenes_are_listed_with_their_images_if_asked_for(catalog):
    catalog.put(indexed(video(), with_images(scenes(2), IMAGES) + scenes(3)[2:]))
    listed, more = catalog.scenes("v", 0, 10, with_images=True)
    assert images_of(listed) == [IMAGES, IMAGES, [b"", b"", b""]]
    assert not more
    assert images_of(catalog.scenes("v", 0, 10)[0]) == [[b"", b"", b""]] * 3


def test_a_page_of_large_images_ends_early_and_the_pages_have_all(catalog):
    large = [image(n, MAX_IMAGE_BYTES) for n in range(3)]
    catalog.put(indexed(video(), with_images(scenes(60), large)))
    first, found, more = 0, [], True
    while more:
        page, more = catalog.scenes("v", first, 1000, with_images=True)
        assert 0 < len(page) <= thumbnails.PAGE_BYTES / MAX_IMAGE_BYTES / 3 + 1
        first += len(page)
        found += images_of(page)
    assert found == [large] * 60


def test_the_nearest_image_stands_for_its_scene(catalog):
    catalog.put(indexed(video(), with_images(scenes(2), IMAGES)))
    samples = scenes(2)[1].samples
    assert catalog.thumbnail("v", 1, None).image == image(1)  # the samples lie behind the middle
    assert catalog.thumbnail("v", 1, 10 * SECOND).image == image(3)
    assert catalog.thumbnail("v", 1, samples[1].offset_ns - 1).offset_ns == samples[0].offset_ns


@pytest.mark.parametrize(
    ("video_id", "ordinal", "message"),
    [("w", 0, "no video"), ("v", 2, "no scene 2"), ("v", -1, "no scene"), ("v", 1, "IMAGES")],
)
def test_what_has_no_image_says_why(catalog, video_id, ordinal, message):
    catalog.put(indexed(video(), [*with_images(scenes(1), IMAGES), scenes(2)[1]]))
    with pytest.raises(NotFoundError, match=message):
        catalog.thumbnail(video_id, ordinal, None)


def test_images_outlive_a_restart(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video(), with_images(scenes(2), IMAGES)))
        before = catalog.scenes("v", 0, 10, with_images=True)
    with Catalog(tmp_path) as catalog:
        after = catalog.scenes("v", 0, 10, with_images=True)
    assert images_of(after[0]) == images_of(before[0]) == [IMAGES] * 2


def test_a_replaced_or_deleted_video_leaves_no_image(tmp_path):
    with Catalog(tmp_path) as catalog:
        for video_id in ("v", "v2", "w"):
            catalog.put(indexed(video(video_id), with_images(scenes(3), IMAGES)))
        catalog.put(indexed(video("v"), [scenes(1)[0], *with_images(scenes(2)[1:], IMAGES)]))
        catalog.delete("w")
    assert image_keys(tmp_path) == [b"image/v\0\0\0\0\1", *(b"image/v2\0\0\0\0" + bytes([n]) for n in range(3))]


@pytest.mark.parametrize("bad", [b"GIF89a", image(1, MAX_IMAGE_BYTES + 1), image(1)[:-1], image(1)[1:]])
def test_what_is_no_small_jpeg_is_refused_by_its_scene(bad):
    with pytest.raises(InvalidInputError, match=r"scene 1: an image is a JPEG"):
        indexed(video(), [scenes(1)[0], *with_images(scenes(2)[1:], [b"", bad, b""])])


def test_the_images_of_a_video_are_bounded(monkeypatch):
    monkeypatch.setattr(drafts, "MAX_VIDEO_IMAGE_BYTES", 4 * len(image(1)))
    assert len(indexed(video(), with_images(scenes(2), IMAGES)).images) == 2
    with pytest.raises(InvalidInputError, match="scene 2: with its images"):
        indexed(video(), with_images(scenes(3), IMAGES))


def test_images_come_back_from_their_record():
    assert records.decode_images(records.encode_images(tuple(IMAGES))) == tuple(IMAGES)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        records.encode_images((b"ab",))[:-1],
        np.array([-1, 0]).tobytes(),
        np.array([2, 5, -5]).tobytes(),
    ],
)
def test_what_is_no_record_of_images_is_refused(data):
    with pytest.raises(records.MALFORMED):
        records.decode_images(data)


def test_images_are_no_more_than_their_samples(catalog):
    """A record of another number of images is damaged, and not guessed at."""
    one = scenes(1)[0]
    with pytest.raises(ValueError, match="zip"):
        thumbnails.with_images(replace(one, samples=one.samples[:2]), tuple(IMAGES))
