"""Images are kept with their scenes, and gone with them."""

from dataclasses import replace

import numpy as np
import plyvel
import pytest

from services.common.errors import InvalidInputError, NotFoundError
from services.common.media import MAX_IMAGE_BYTES, Scene, SceneHit
from services.common.ranking import SceneRanking, VideoRanking
from services.store import draft as drafts
from services.store import queries, records, thumbnails
from services.store.catalog import Catalog
from tests.stores import SECOND, image, indexed, query_of, scenes, video, with_images

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


def thumbnails_of(found):
    return [hit.thumbnail for hit in found.hits]


def test_hits_come_with_the_image_nearest_to_their_best_moment_if_asked_for(catalog):
    put = [*with_images(scenes(2), IMAGES), scenes(3)[2]]
    catalog.put(indexed(video(), put))
    for ordinal, row, expected in ((0, 0, image(1)), (0, 2, image(3)), (1, 0, image(1)), (2, 1, b"")):
        query = query_of(put[ordinal].samples[row].vector)
        found = catalog.find_scenes(query, SceneRanking(top_k=1, include_thumbnails=True))
        assert (found.hits[0].ordinal, thumbnails_of(found)) == (ordinal, [expected])
        assert thumbnails_of(catalog.find_scenes(query, SceneRanking(top_k=1))) == [b""]
        (hit,) = catalog.find_videos(query, VideoRanking(include_thumbnails=True)).hits
        assert (hit.scenes[0].ordinal, hit.scenes[0].thumbnail) == (ordinal, expected)


def test_a_merged_hit_has_the_image_of_its_best_scene(catalog):
    put = [with_images([one], [image(10 + one.ordinal)] * 3)[0] for one in scenes(3)]
    catalog.put(indexed(video(), put))
    ranking = SceneRanking(include_thumbnails=True, merge_ratio=1e-3, min_score=-1)
    for ordinal in range(3):
        hit = catalog.find_scenes(query_of(put[ordinal].samples[0].vector), ranking).hits[0]
        assert (hit.ordinal, hit.thumbnail) == (ordinal, image(10 + ordinal))


@pytest.mark.parametrize("kind", ["scenes", "videos"])
def test_an_answer_with_large_thumbnails_ends_early_and_goes_on_where_it_ended(catalog, kind):
    for number in range(10):
        large = with_images(scenes(20, seed=number), [image(number, MAX_IMAGE_BYTES)] * 3)
        catalog.put(indexed(video(f"v{number}", content_sha256=f"f{number % 5}"), large))
    query = query_of(scenes(1, seed=99)[0].samples[0].vector)
    if kind == "scenes":
        find, ranking = catalog.find_scenes, SceneRanking(top_k=1000, relative_cutoff=0.1, duplicate_similarity=0.99)
    else:
        find, ranking = catalog.find_videos, VideoRanking(top_k=9, scenes_per_video=20, duplicate_similarity=0.99)
    whole, shown = find(query, ranking), replace(ranking, include_thumbnails=True)
    pages = [find(query, shown)]
    while pages[-1].next_cursor:
        assert pages[-1].filtered.low_score_count == 0
        pages.append(find(query, replace(shown, cursor=pages[-1].next_cursor)))
    first = sum(len(sent) for hit in pages[0].hits for sent in sent_with(hit))
    assert thumbnails.PAGE_BYTES <= first < 2 * thumbnails.PAGE_BYTES
    assert len(pages) > 1
    assert [bare(hit) for page in pages for hit in page.hits] == list(whole.hits)
    assert sum(page.filtered.duplicate_count for page in pages) == whole.filtered.duplicate_count


def sent_with(hit):
    return [one.thumbnail for one in getattr(hit, "scenes", [hit])]


def bare(hit):
    """Without thumbnails."""
    if isinstance(hit, SceneHit):
        return replace(hit, thumbnail=b"")
    return replace(hit, scenes=tuple(replace(one, thumbnail=b"") for one in hit.scenes))


def test_an_answer_with_diversity_ends_early_for_good(catalog):
    for number in range(3):
        large = with_images(scenes(70, seed=number), [image(number, MAX_IMAGE_BYTES)] * 3)
        catalog.put(indexed(video(f"v{number}"), large))
    ranking = VideoRanking(scenes_per_video=100, diversity=0.5, include_thumbnails=True)
    found = catalog.find_videos(query_of(scenes(1)[0].samples[0].vector), ranking)
    assert (len(found.hits), found.next_cursor) == (1, "")


def test_what_was_put_anew_meanwhile_has_no_thumbnail_of_what_is_there_now(catalog, monkeypatch):
    find = queries.find_scenes

    def put_anew_when_found(index, query, ranking):
        found = find(index, query, ranking)
        catalog.put(indexed(video(), with_images(scenes(1, sample_count, seed=1), [image(7)] * sample_count)))
        return found

    monkeypatch.setattr(queries, "find_scenes", put_anew_when_found)
    query, ranking = query_of(scenes(1)[0].samples[0].vector), SceneRanking(include_thumbnails=True)
    catalog.put(indexed(video(), with_images(scenes(1), IMAGES)))
    sample_count = 3
    assert thumbnails_of(catalog.find_scenes(query, ranking)) == [b""]
    sample_count = 2
    assert thumbnails_of(catalog.find_scenes(query, ranking)) == [b""]
    assert not catalog.stats().read_only_reason


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
