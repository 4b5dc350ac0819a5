"""Searching with the approximate index, made at a size where a test can afford it, beside exact search."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common import vectors
from services.common.media import SceneScoring, Segment, VideoFilter, VideoScoring
from services.common.ranking import EmbeddingPart, MomentPart, ScenePart, SceneRanking, VideoPart, VideoRanking
from services.store import accelerator, approximate, candidates, saved
from services.store.approximate import Approximate
from services.store.catalog import Catalog
from services.store.queries import find_scenes, find_videos
from tests.stores import MODEL, SECOND, indexed, query_of, scene, scene_pages, video

DIMENSION, VIDEOS, SCENES = 64, 40, 40
RANKINGS = {
    "plain": SceneRanking(),
    "mean": SceneRanking(scene_scoring=SceneScoring.MEAN),
    "softmax": SceneRanking(scene_scoring=SceneScoring.SOFTMAX, softmax_temperature=0.05),
    "capped": SceneRanking(scenes_per_video=1),
    "many": SceneRanking(top_k=200),
    "filtered": SceneRanking(video_filter=VideoFilter(metadata={"half": "0"})),
    "window": SceneRanking(time_window=Segment(10 * SECOND, 30 * SECOND)),
    "merged": SceneRanking(merge_ratio=0.7),
    "merged mean": SceneRanking(merge_ratio=0.5, scene_scoring=SceneScoring.MEAN, min_score=0.1),
    "distinct": SceneRanking(duplicate_similarity=0.97),
    "cut off": SceneRanking(top_k=50, min_score=0.3, relative_cutoff=0.8),
}
rankings = pytest.mark.parametrize("asked", RANKINGS.values(), ids=RANKINGS.keys())


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(accelerator, "MIN_SAMPLES", 1000)
    monkeypatch.setattr(accelerator, "MAX_LEFT_SAMPLES", 100)
    monkeypatch.setattr(candidates, "EXACT_SAMPLES", 50)
    monkeypatch.setattr(candidates, "FOUND", 200)
    monkeypatch.setattr(candidates, "SCORED", 100)
    monkeypatch.setattr(approximate, "PROBED", 12)


def put(catalog, number, seed=None):
    """A video whose scenes lie around some centers that all videos share."""
    shared, own = np.random.default_rng(0), np.random.default_rng(number if seed is None else seed)
    centers = vectors.normalize(shared.standard_normal((30, DIMENSION)))[own.integers(0, 30, SCENES)]
    middles = centers + 0.06 * own.standard_normal((SCENES, DIMENSION))
    samples = [vectors.normalize(one + 0.02 * own.standard_normal((2, DIMENSION))) for one in middles]
    stored = video(f"v{number:02}", metadata={"half": str(number % 2)})
    catalog.put(indexed(stored, [scene(ordinal, each) for ordinal, each in enumerate(samples)]))


def filled(folder):
    with Catalog(folder) as catalog:
        for number in range(VIDEOS):
            put(catalog, number)
        wait_for(catalog)


def wait_for(catalog, samples=VIDEOS * SCENES * 2):
    """Until so many samples are in the approximate index."""
    deadline = time.monotonic() + 60
    while catalog.stats().approximate_sample_count < samples:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "MIN_SAMPLES", 1000)
        patch.setattr(accelerator, "MAX_LEFT_SAMPLES", 1)
        filled(folder)
    return folder


@pytest.fixture(scope="module")
def shared(template, tmp_path_factory):
    """Only to be searched."""
    with Catalog(shutil.copytree(template, tmp_path_factory.mktemp("shared") / "store")) as catalog:
        yield catalog


@pytest.fixture
def folder(template, tmp_path):
    return shutil.copytree(template, tmp_path / "store")


def queries(count=30):
    random = np.random.default_rng(5)
    centers = vectors.normalize(np.random.default_rng(0).standard_normal((30, DIMENSION)))
    return vectors.normalize(centers[:count] + 0.1 * random.standard_normal((count, DIMENSION)))


def exact(catalog):
    return replace(catalog.index, accelerated=None)


@rankings
def test_scores_are_exact_and_nearly_all_of_the_best_are_found(folder, asked):
    with Catalog(folder) as catalog:
        assert catalog.stats().approximate_sample_count == VIDEOS * SCENES * 2
        found = wanted = 0
        for query in queries():
            hits = find_scenes(catalog.index, query_of(query), asked).hits
            best = find_scenes(exact(catalog), query_of(query), asked).hits
            everything = replace(asked, top_k=10_000, scenes_per_video=None)
            assert set(hits) <= set(find_scenes(exact(catalog), query_of(query), everything).hits)
            found, wanted = found + len(set(hits) & set(best)), wanted + len(best)
        assert found >= 0.99 * wanted


@pytest.mark.parametrize(
    "asked",
    [
        VideoRanking(top_k=3),
        VideoRanking(top_k=3, video_scoring=VideoScoring.TOP_MEAN),
        VideoRanking(top_k=3, duplicate_similarity=0.8),
        VideoRanking(top_k=3, video_scoring=VideoScoring.TOP_MEAN, top_scene_count=9, diversity=0.3, merge_ratio=0.7),
    ],
)
def test_videos_are_found_with_their_best_scenes(folder, asked):
    found = 0
    with Catalog(folder) as catalog:
        for query in queries():
            hits = find_videos(catalog.index, query_of(query), asked).hits
            best = find_videos(exact(catalog), query_of(query), asked).hits
            found += len([hit for hit in hits if hit in best])
    assert found >= 0.99 * 3 * len(queries())


def stored_sample(index, number):
    return index.rows.vectors_of(number, number + 1)[0].astype(np.float64)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the sizes stay small throughout
@given(
    st.lists(
        st.tuples(st.integers(0, VIDEOS * SCENES * 2 - 1), st.floats(0.1, 2), st.booleans()), min_size=1, max_size=4
    )
)
def test_any_mix_of_parts_scores_as_numpy_does(shared, parts):
    """Each part is a moment that is stored, or an embedding, of some weight."""
    index, query, vector = shared.index, [], np.zeros(DIMENSION)
    for number, weight, by_name in parts:
        scene_number = np.searchsorted(index.rows.bounds, number, side="right") - 1
        name = index.videos[index.rows.videos[scene_number]].video_id
        named = MomentPart(name, int(index.rows.offsets_ns[number]), weight)
        unit = np.float32(stored_sample(index, number))
        query.append(named if by_name else EmbeddingPart(unit, MODEL, weight))
        vector += weight * unit / sum(each for _, each, _ in parts)
    hits = find_scenes(index, tuple(query), SceneRanking(top_k=20)).hits
    all_units = index.rows.vectors_of(0, len(index.rows)).astype(np.float64)
    scores = np.maximum.reduceat(all_units @ vector, index.rows.bounds[:-1])  # (S,)
    places = [index.bounds[index.number(hit.video_id)] + hit.ordinal for hit in hits]
    np.testing.assert_allclose([hit.score for hit in hits], scores[places], atol=1e-5)
    gone = [
        index.bounds[index.number(part.video_id)] + part.offset_ns // (2 * SECOND)
        for part in query
        if isinstance(part, MomentPart)
    ]
    assert not set(places) & set(gone)
    scores[gone] = -1
    best = set(np.argsort(-scores)[:20].tolist())
    assert len(best & set(places)) >= 18


def test_what_the_query_names_is_not_found_and_all_else_is(folder):
    with Catalog(folder) as catalog:
        for part in (ScenePart("v01", 3), VideoPart("v01")):
            hits = find_scenes(catalog.index, (part,), SceneRanking()).hits
            assert hits == find_scenes(exact(catalog), (part,), SceneRanking()).hits
            assert ("v01", 3) not in {(hit.video_id, hit.ordinal) for hit in hits}


def test_pages_go_on_to_the_end_and_repeat_nothing(folder):
    with Catalog(folder) as catalog:
        pages = scene_pages(catalog.index, query_of(queries(1)[0]), SceneRanking(top_k=300))
        seen = [hit for page in pages for hit in page.hits]
        assert len(set(seen)) == len(seen) >= 0.99 * VIDEOS * SCENES


def first(index, video_id):
    """The best hit for a sample of that video, or of what had its id."""
    row = index.rows.bounds[index.bounds[index.number(video_id)]]
    return find_scenes(index, query_of(index.rows.vectors_of(row, row + 1)[0]), SceneRanking(top_k=1)).hits[0]


def test_what_is_put_replaced_or_deleted_counts_at_once(folder):
    with Catalog(folder) as catalog:
        before = catalog.index
        put(catalog, 3, seed=1000)
        put(catalog, 77)
        catalog.delete("v04")
        for video_id in ("v03", "v05", "v77"):
            assert first(catalog.index, video_id).video_id == video_id
        assert first(before, "v04").video_id == "v04"
        hits = find_scenes(catalog.index, query_of(queries(1)[0]), SceneRanking(top_k=1000)).hits
        assert "v04" not in {hit.video_id for hit in hits}


def test_new_videos_are_added_and_the_dead_leave_when_they_are_many(folder):
    with Catalog(folder) as catalog:
        for number in range(VIDEOS, VIDEOS + 10):
            put(catalog, number)
        wait_for(catalog, (VIDEOS + 10) * SCENES * 2 - 100)
        for number in range(VIDEOS):
            catalog.delete(f"v{number:02}")
        put(catalog, 99)
        for number in range(100, 110):
            put(catalog, number)
        wait_for(catalog, 20 * SCENES * 2)
        assert [first(catalog.index, video_id).video_id for video_id in ("v45", "v99", "v105")] == [
            "v45",
            "v99",
            "v105",
        ]


def test_the_file_is_used_again(folder):
    written = (folder / saved.FILE_NAME).stat().st_mtime_ns
    with Catalog(folder) as catalog:
        assert catalog.stats().approximate_sample_count == VIDEOS * SCENES * 2
    assert (folder / saved.FILE_NAME).stat().st_mtime_ns == written


@pytest.mark.parametrize("place", [0, 0.3, 0.9, 0.999])
def test_a_flipped_bit_or_a_lost_end_leaves_the_file_aside(folder, place, caplog):
    path = folder / saved.FILE_NAME
    whole = path.read_bytes()
    byte = int(place * len(whole))
    for damaged in (whole[:byte] + bytes([whole[byte] ^ 4]) + whole[byte + 1 :], whole[:byte]):
        caplog.clear()
        path.write_bytes(damaged)
        assert saved.read(path, MODEL, DIMENSION) is None
        assert [record.message for record in caplog.records] == ["approximate index left aside"]
    path.write_bytes(damaged)
    with Catalog(folder) as catalog:
        wait_for(catalog, 1)  # it is made anew
    assert saved.read(path, MODEL, DIMENSION)


def test_a_file_for_which_there_is_no_memory_is_left_aside(folder, monkeypatch):
    def read(path):
        raise MemoryError

    monkeypatch.setattr(Approximate, "read", read)
    assert saved.read(folder / saved.FILE_NAME, MODEL, DIMENSION) is None


def test_the_file_of_another_model_is_left_aside(folder):
    assert saved.read(folder / saved.FILE_NAME, "model-b", DIMENSION) is None
    assert saved.read(folder / saved.FILE_NAME, MODEL, 8) is None


def test_of_another_stores_file_only_what_this_store_holds_counts(folder, tmp_path):
    other = tmp_path / "other"
    with Catalog(other) as catalog:
        for number in range(VIDEOS):
            put(catalog, number, seed=500 + number)
    shutil.copy(folder / saved.FILE_NAME, other)
    with Catalog(other) as catalog:
        for query in queries():
            found = find_scenes(catalog.index, query_of(query), SceneRanking()).hits
            assert found == find_scenes(exact(catalog), query_of(query), SceneRanking()).hits


def test_a_file_that_cannot_be_written_is_no_error(folder, caplog):
    with Catalog(folder) as catalog:
        (folder / "vectors.partial").mkdir()
        for number in range(VIDEOS, VIDEOS + 3):
            put(catalog, number)
        wait_for(catalog, (VIDEOS + 3) * SCENES * 2 - 100)
    assert "approximate index not saved" in caplog.messages


def test_searches_go_on_while_videos_are_put_and_added(folder):
    with Catalog(folder) as catalog, ThreadPoolExecutor() as threads:
        written = threads.submit(lambda: [put(catalog, number) for number in range(VIDEOS, VIDEOS + 20)])
        found = 0
        while not written.done() or found < 50:
            index = catalog.index
            video_id = index.videos[-1].video_id
            assert first(index, video_id).video_id == video_id
            found += 1
        written.result()
        wait_for(catalog, (VIDEOS + 20) * SCENES * 2 - 100)
