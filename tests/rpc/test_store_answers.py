"""What makes an answer worth having, through the wire: cut-offs, merging, duplicates, counts, diversity, thumbnails."""

from dataclasses import replace

import numpy as np
import pytest

from services.common import vectors
from services.common.errors import DataLossError
from services.common.media import Segment, VideoFilter, VideoScoring
from services.common.ranking import FilteredCounts, MomentPart, ScenePart, SceneRanking, VideoPart, VideoRanking
from services.store import keys
from services.store.catalog import Catalog
from services.store.database import Database
from services.store.keys import IMAGES
from tests.stores import SECOND, image, indexed, query_of, scene, scenes, store, video, with_images

X, Y = np.float32(np.eye(2))


def at(degrees):
    """A unit vector, so far from X."""
    return np.float32([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


async def fill(client):
    """Video a nears X and goes away again; b is a copy of its file; c has other scenes."""
    bow = [scene(n, [at(degrees)]) for n, degrees in enumerate((60, 20, 0, 30, 80))]
    await client.put_video(video("a", content_sha256="film"), bow)
    await client.put_video(video("b", content_sha256="film"), bow)
    await client.put_video(video("c", content_sha256="other"), [scene(0, [at(45)]), scene(1, [at(90)])])


def keys_of(found):
    return [(hit.video_id, hit.ordinal) for hit in found.hits]


def videos_of(found):
    return [hit.video.video_id for hit in found.hits]


async def test_hits_below_a_score_are_cut_off_and_counted(client):
    await fill(client)
    found = await client.find_scenes(query_of(X), SceneRanking(top_k=7, min_score=0.8))
    assert keys_of(found) == [("a", 2), ("b", 2), ("a", 1), ("b", 1), ("a", 3), ("b", 3)]
    assert (found.next_cursor, found.filtered) == ("", FilteredCounts(low_score_count=1))
    found = await client.find_videos(query_of(X), VideoRanking(min_score=0.8))
    assert (videos_of(found), found.filtered.low_score_count) == (["a", "b"], 1)


async def test_hits_far_behind_the_best_are_cut_off(client):
    await fill(client)
    found = await client.find_scenes(query_of(X), SceneRanking(top_k=12, relative_cutoff=0.9))
    assert (keys_of(found), found.filtered.low_score_count) == ([("a", 2), ("b", 2), ("a", 1), ("b", 1)], 8)
    first = await client.find_scenes(query_of(X), SceneRanking(top_k=1, relative_cutoff=0.9))
    await client.delete_video("a")
    rest = await client.find_scenes(query_of(X), SceneRanking(relative_cutoff=0.9, cursor=first.next_cursor))
    assert keys_of(rest) == [("b", 2), ("b", 1)]


async def test_scenes_that_touch_become_one_span(client):
    await fill(client)
    only = VideoFilter(frozenset("a"))
    found = await client.find_scenes(query_of(X), SceneRanking(video_filter=only, merge_ratio=0.8))
    hit, *others = found.hits
    assert (hit.ordinal, hit.merged_before, hit.merged_after) == (2, 1, 1)
    assert (hit.segment, hit.best_offset_ns) == (Segment(2 * SECOND, 8 * SECOND), 5 * SECOND)
    assert [(one.ordinal, one.merged_before, one.merged_after) for one in others] == [(0, 0, 0), (4, 0, 0)]
    (by_video,) = (await client.find_videos(query_of(X), VideoRanking(video_filter=only, merge_ratio=0.8))).hits
    assert by_video.scenes == found.hits


async def test_near_duplicates_are_collapsed_and_counted(client):
    await fill(client)
    found = await client.find_scenes(query_of(X), SceneRanking(top_k=3, duplicate_similarity=0.99))
    assert keys_of(found) == [("a", 2), ("a", 1), ("a", 3)]
    assert (found.filtered.duplicate_count, found.next_cursor != "") == (2, True)
    rest = await client.find_scenes(query_of(X), SceneRanking(duplicate_similarity=0.99, cursor=found.next_cursor))
    assert (keys_of(rest), rest.filtered.duplicate_count) == ([("c", 0), ("a", 0), ("a", 4), ("c", 1)], 3)
    by_video = await client.find_videos(query_of(X), VideoRanking(duplicate_similarity=1.0))
    assert (videos_of(by_video), by_video.filtered.duplicate_count) == (["a", "c"], 1)


@pytest.mark.parametrize(
    ("part", "scene_count", "found_videos"),
    [(ScenePart("c", 0), 1, ["a", "b"]), (MomentPart("c", 0), 1, ["a", "b"]), (VideoPart("c"), 0, ["a", "b"])],
)
async def test_what_the_query_names_is_left_out_and_counted(client, part, scene_count, found_videos):
    await fill(client)
    found = await client.find_scenes((part,), SceneRanking(top_k=100))
    assert ("c", 0) not in keys_of(found)
    assert (found.filtered.scene_count, found.filtered.video_count) == (scene_count, 1 - scene_count)
    by_video = await client.find_videos((part,), VideoRanking())
    assert sorted(videos_of(by_video)) == found_videos
    assert by_video.filtered == FilteredCounts(video_count=1)
    asked = SceneRanking(top_k=100, include_named=True)
    assert ("c", 0) in keys_of(await client.find_scenes((part,), asked))
    assert "c" in videos_of(await client.find_videos((part,), VideoRanking(include_named=True)))


async def test_what_the_filter_and_the_window_leave_out_is_counted(client):
    await fill(client)
    wanted = {"video_filter": VideoFilter(frozenset("ac")), "time_window": Segment(0, 3 * SECOND)}
    expected = FilteredCounts(video_count=1, scene_count=3)
    assert (await client.find_scenes(query_of(X), SceneRanking(**wanted))).filtered == expected
    assert (await client.find_videos(query_of(X), VideoRanking(**wanted))).filtered == expected


@pytest.mark.parametrize(("count", "expected"), [(1, 1.0), (2, 0.97), (3, 0.935), (100, 0.695)])
async def test_a_video_may_be_scored_by_the_mean_of_its_best_scenes(client, count, expected):
    await fill(client)
    ranking = VideoRanking(top_k=1, video_scoring=VideoScoring.TOP_MEAN, top_scene_count=count)
    (hit,) = (await client.find_videos(query_of(X), ranking)).hits
    assert (hit.video.video_id, hit.score) == ("a", pytest.approx(expected, abs=1e-3))


async def test_with_diversity_a_copy_comes_last(client):
    await fill(client)
    assert videos_of(await client.find_videos(query_of(X), VideoRanking())) == ["a", "b", "c"]
    assert videos_of(await client.find_videos(query_of(X), VideoRanking(diversity=0.9))) == ["a", "c", "b"]


@pytest.mark.parametrize("top_k", [1, 3])
async def test_pages_with_all_options_make_up_the_whole_ranking_while_videos_are_put(client, top_k):
    for name in "cab":
        await client.put_video(video(name), scenes(12, seed=ord(name) % 2))
    query = query_of(vectors.normalize(np.ones(8)))
    ranking = SceneRanking(
        top_k=top_k, scenes_per_video=4, merge_ratio=0.5, duplicate_similarity=0.9, relative_cutoff=0.1
    )
    whole = (await client.find_scenes(query, replace(ranking, top_k=1000))).hits
    found, cursor, turn = [], "first", 0
    while cursor:
        page = await client.find_scenes(query, replace(ranking, cursor=cursor if turn else ""))
        found, cursor, turn = [*found, *page.hits], page.next_cursor, turn + 1
        await client.put_video(video(f"n{turn}"), scenes(5, seed=turn))
    assert tuple(found) == whole
    assert turn > 1


async def test_thumbnails_come_with_scenes_if_asked_for(client):
    await client.put_video(video(), with_images([scene(0, [X]), scene(1, [Y])], [image(1)]))
    found = await client.find_scenes(query_of(X), SceneRanking(include_thumbnails=True))
    assert [hit.thumbnail for hit in found.hits] == [image(1)] * 2
    (hit,) = (await client.find_videos(query_of(X), VideoRanking(include_thumbnails=True))).hits
    assert [one.thumbnail for one in hit.scenes] == [image(1)] * 2
    assert [hit.thumbnail for hit in (await client.find_scenes(query_of(X), SceneRanking())).hits] == [b""] * 2


async def test_thumbnails_may_be_asked_for_on_any_page(client):
    await client.put_video(video(), with_images([scene(0, [X]), scene(1, [Y])], [image(1)]))
    first = await client.find_scenes(query_of(X), SceneRanking(top_k=1))
    asked = SceneRanking(include_thumbnails=True, cursor=first.next_cursor)
    assert [hit.thumbnail for hit in (await client.find_scenes(query_of(X), asked)).hits] == [image(1)]


async def test_a_damaged_thumbnail_is_told_as_that_of_its_video(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("sound"), [scene(0, [X])]))
        catalog.put(indexed(video("torn"), with_images([scene(0, [Y])], [image(1)])))
    database = Database(tmp_path)
    with database.batch("") as batch:
        batch.put(IMAGES + keys.pack_scene("torn", 0), b"torn")
    database.close()
    async with store(tmp_path) as client:
        asked = SceneRanking(include_thumbnails=True)
        with pytest.raises(DataLossError, match="images of scene 0 of video 'torn'"):
            await client.find_scenes((VideoPart("sound"),), asked)
        assert "images of scene 0 of video 'torn'" in (await client.stats()).read_only_reason
        assert keys_of(await client.find_scenes((VideoPart("sound"),), SceneRanking())) == [("torn", 0)]
