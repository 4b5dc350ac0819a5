import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import plyvel
import pytest

from services.common import vectors
from services.common.errors import DataLossError, InvalidInputError, NotFoundError, PreconditionError, StartupError
from services.common.media import SceneScoring, VideoFilter
from services.common.ranking import SceneRanking, VideoRanking
from services.store.catalog import Catalog
from services.store.schema import CHANGES_KEYS, CONTENTS_KEYS, SCHEMA_KEYS
from tests.stores import counts, files_no_larger_than, indexed, query_of, scenes, video

ALL = SceneRanking(top_k=1000)
SCHEMA_1 = Path(__file__).parent.parent / "data" / "store_schema_1"
"""Written by the version before."""


def query(dimension=8, seed=99):
    return vectors.normalize(np.random.default_rng(seed).standard_normal(dimension))


def answers(catalog):
    """Everything that a catalog says, for comparison."""
    videos = catalog.videos("", 1000)[0]
    mean = replace(ALL, scene_scoring=SceneScoring.MEAN)
    return (
        videos,
        [catalog.scenes(stored.video_id, 0, 1000) for stored in videos],
        [catalog.find_scenes(query_of(query()), ranking) for ranking in (ALL, mean)],
        catalog.find_videos(query_of(query()), VideoRanking()),
        counts(catalog.stats()),
    )


def fill(catalog):
    for seed, name in enumerate("dacb"):
        catalog.put(indexed(video(name, metadata={"name": name}), scenes(3 + seed, seed=seed)))
    catalog.put(indexed(video("a"), scenes(2, seed=7)))
    catalog.delete("c")


def keys_in(folder):
    with plyvel.DB(str(folder)) as database:
        return sorted(database.iterator(include_value=False))


def test_a_restart_changes_no_answer(tmp_path):
    with Catalog(tmp_path) as catalog:
        fill(catalog)
        before = answers(catalog)
    with Catalog(tmp_path) as catalog:
        assert answers(catalog) == before


def test_a_video_is_replaced_whole(tmp_path):
    with Catalog(tmp_path / "replaced") as catalog, Catalog(tmp_path / "put") as other:
        first = catalog.put(indexed(video(), scenes(5, seed=1)))
        second = catalog.put(indexed(video(), scenes(2, seed=2)))
        other.put(indexed(video(), scenes(2, seed=2)))
    assert (first.replaced, second.replaced) == (False, True)
    assert keys_in(tmp_path / "replaced") == keys_in(tmp_path / "put")


def test_a_deleted_video_leaves_nothing_behind(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video(), scenes(5)))
        catalog.delete("v")
        with pytest.raises(NotFoundError, match="no video 'v'"):
            catalog.delete("v")
        with pytest.raises(NotFoundError):
            catalog.scenes("v", 0, 10)
    assert keys_in(tmp_path) == sorted((*SCHEMA_KEYS, *CONTENTS_KEYS, *CHANGES_KEYS))


def test_an_empty_store_answers_any_query_with_nothing(tmp_path):
    with Catalog(tmp_path) as catalog:
        assert catalog.find_scenes(query_of(query(5), "any"), ALL).hits == ()
        assert catalog.find_videos(query_of(query(5), "any"), VideoRanking()).hits == ()


def test_another_model_is_refused_by_name_until_the_last_video_is_gone(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(2)))
        other = indexed(video("b", model="model-b"), scenes(2, dimension=16))
        with pytest.raises(PreconditionError, match=r"model-a.*model-b.*serve model-a again.*reembed"):
            catalog.put(other)
        with pytest.raises(PreconditionError, match=r"model-a.*model-b"):
            catalog.find_scenes(query_of(query(), "model-b"), ALL)
        catalog.delete("a")
        catalog.put(other)
        assert (catalog.stats().model, catalog.stats().dimension) == ("model-b", 16)


def test_the_only_video_may_be_replaced_by_another_model(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video(), scenes(2)))
        catalog.put(indexed(video(model="model-b"), scenes(3, dimension=16)))
        assert (catalog.stats().model, catalog.stats().scene_count) == ("model-b", 3)


def test_a_change_of_what_is_said_of_a_video_survives_a_restart_and_leaves_its_scenes(tmp_path):
    with Catalog(tmp_path) as catalog:
        fill(catalog)
        _, *found = answers(catalog)
        changed = catalog.update("a", {"title": "Another", "metadata": {"year": "2026"}})
        assert catalog.video("a") == changed
        by_year = replace(ALL, video_filter=VideoFilter(metadata={"year": "2026"}))
        assert {hit.video_id for hit in catalog.find_scenes(query_of(query()), by_year).hits} == {"a"}
        before = answers(catalog)
        assert before[1] == found[0]
    with Catalog(tmp_path) as catalog:
        assert answers(catalog) == before


def test_a_vector_of_the_wrong_length_is_refused(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(2)))
        with pytest.raises(InvalidInputError, match="has 8 components; got 9"):
            catalog.find_videos(query_of(query(9)), VideoRanking())
        with pytest.raises(InvalidInputError, match="has 8 components; got 9"):
            catalog.put(indexed(video("b"), scenes(2, dimension=9)))


def test_searches_while_videos_are_replaced_see_only_whole_ones(tmp_path):
    versions = {count: indexed(video("x"), scenes(count, seed=count)) for count in (3, 40)}
    seen, stopped = [], threading.Event()

    def search(catalog):
        while not stopped.is_set():
            hits = catalog.find_scenes(query_of(query()), ALL).hits
            seen.append(frozenset((hit.video_id, hit.ordinal, hit.score) for hit in hits))

    with Catalog(tmp_path) as catalog:
        whole = set()
        for name, count in (("y", 3), ("y", 40), ("x", 3), ("x", 40)):
            catalog.put(versions[count] if name == "x" else indexed(video("y"), scenes(5, seed=5)))
            whole.add(
                frozenset((h.video_id, h.ordinal, h.score) for h in catalog.find_scenes(query_of(query()), ALL).hits)
            )
        searching = [threading.Thread(target=search, args=(catalog,)) for _ in range(2)]
        for thread in searching:
            thread.start()
        for turn in range(60):
            catalog.put(versions[(3, 40)[turn % 2]])
        stopped.set()
        for thread in searching:
            thread.join()
    assert set(seen) <= whole


def test_a_failed_write_changes_nothing_and_later_ones_are_kept(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("before"), scenes(2, dimension=256)))
        with files_no_larger_than(100_000), pytest.raises(DataLossError, match=r"'large' was not stored.*disk"):
            catalog.put(indexed(video("large"), scenes(200, dimension=256)))
        assert [stored.video_id for stored in catalog.videos("", 10)[0]] == ["before"]
        catalog.put(indexed(video("after"), scenes(2, dimension=256)))
        catalog.delete("before")
        before = counts(catalog.stats())
    with Catalog(tmp_path) as catalog:
        assert [stored.video_id for stored in catalog.videos("", 10)[0]] == ["after"]
        assert counts(catalog.stats()) == before


def test_reads_go_on_after_a_failed_write(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("v"), scenes(2, dimension=256)))
        with files_no_larger_than(1000), pytest.raises(DataLossError):
            catalog.delete("v")
        assert len(catalog.find_scenes(query_of(query(256)), ALL).hits) == 2
        assert len(catalog.scenes("v", 0, 10)[0]) == 2


def test_a_folder_in_use_stops_the_start_with_one_line(tmp_path):
    with Catalog(tmp_path), pytest.raises(StartupError, match=r"^[^\n]*another process has it open[^\n]*$"):
        Catalog(tmp_path)


def test_a_path_that_cannot_be_a_folder_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="is it a folder that the service may write"):
        Catalog(tmp_path / "file")


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        (b"meta/schema", b"3", "run the version that wrote it, or set an empty folder"),
        (b"something", b"else", "no schema, so they are damaged, or no store's"),
    ],
)
def test_a_database_of_another_schema_stops_the_start(tmp_path, key, value, complaint):
    with plyvel.DB(str(tmp_path), create_if_missing=True) as database:
        database.put(key, value)
    with pytest.raises(StartupError, match=complaint):
        Catalog(tmp_path)


def test_pages_go_on_where_they_ended_whatever_was_written_between(tmp_path):
    with Catalog(tmp_path) as catalog:
        for name in "bdf":
            catalog.put(indexed(video(name), scenes(1)))
        first, more = catalog.videos("", 2)
        catalog.put(indexed(video("a"), scenes(1)))
        catalog.put(indexed(video("e"), scenes(1)))
        catalog.delete("d")
        second, still_more = catalog.videos(first[-1].video_id, 2)
    assert [stored.video_id for stored in (*first, *second)] == ["b", "d", "e", "f"]
    assert (more, still_more) == (True, False)


def test_each_put_has_a_later_time_than_all_before_it_whatever_the_clock_says(tmp_path):
    future = datetime.now(UTC) + timedelta(days=1)
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(1)))
        catalog.update("a", {"index_time": future})  # as if the clock had been ahead
    with Catalog(tmp_path) as catalog:
        times = [catalog.put(indexed(video(name), scenes(1))).video.index_time for name in "bcb"]
    assert times == [future + timedelta(microseconds=n) for n in (1, 2, 3)]


def test_a_data_folder_of_the_schema_before_is_read_and_written_and_read_again(tmp_path):
    shutil.copytree(SCHEMA_1, tmp_path / "old")
    with Catalog(tmp_path / "old") as catalog:
        kept, replaced = catalog.videos("", 10)[0]
        assert (kept.video_id, kept.title, kept.metadata) == ("kept", "renamed", {"camera": "north", "year": "2024"})
        assert (replaced.video_id, replaced.title, replaced.scene_count) == ("replaced", "second", 3)
        assert len(catalog.find_scenes(query_of(query()), ALL).hits) == 7
        catalog.put(indexed(video("new"), scenes(2)))
        catalog.delete("replaced")
        before = answers(catalog)
    with Catalog(tmp_path / "old") as catalog:
        assert answers(catalog) == before
    with plyvel.DB(str(tmp_path / "old")) as database:
        assert [database.get(key) for key in SCHEMA_KEYS] == [b"2", b"2"]
