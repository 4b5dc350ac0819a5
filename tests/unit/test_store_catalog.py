import shutil
import threading
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import plyvel
import pytest

from services.common import vectors
from services.common.errors import DataLossError, InvalidInputError, NotFoundError, PreconditionError, StartupError
from services.common.media import SceneScoring, VideoFilter
from services.common.ranking import SceneRanking, VideoRanking
from services.store.catalog import Catalog
from tests.stores import MODEL, files_no_larger_than, indexed, scene, scenes, video

ALL = SceneRanking(top_k=1000)


def query(dimension=8, seed=99):
    return vectors.normalize(np.random.default_rng(seed).standard_normal(dimension))


def answers(catalog):
    """Everything that a catalog says, for comparison."""
    videos = catalog.videos("", 1000)[0]
    mean = replace(ALL, scene_scoring=SceneScoring.MEAN)
    return (
        videos,
        [catalog.scenes(stored.video_id, 0, 1000) for stored in videos],
        [catalog.find_scenes(query(), MODEL, ranking) for ranking in (ALL, mean)],
        catalog.find_videos(query(), MODEL, VideoRanking()),
        replace(catalog.stats(), disk_size_bytes=0),
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
    assert keys_in(tmp_path) == [b"meta/contents", b"meta/schema"]


def test_an_empty_store_answers_any_query_with_nothing(tmp_path):
    with Catalog(tmp_path) as catalog:
        assert catalog.find_scenes(query(5), "any", ALL).hits == ()
        assert catalog.find_videos(query(5), "any", VideoRanking()).hits == ()


def test_another_model_is_refused_by_name_until_the_last_video_is_gone(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(2)))
        other = indexed(video("b", model="model-b"), scenes(2, dimension=16))
        with pytest.raises(PreconditionError, match=r"model-a.*model-b.*serve model-a again.*deleting them all"):
            catalog.put(other)
        with pytest.raises(PreconditionError, match=r"model-a.*model-b"):
            catalog.find_scenes(query(), "model-b", ALL)
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
        assert {hit.video_id for hit in catalog.find_scenes(query(), MODEL, by_year).hits} == {"a"}
        before = answers(catalog)
        assert before[1] == found[0]
    with Catalog(tmp_path) as catalog:
        assert answers(catalog) == before


def test_a_vector_of_the_wrong_length_is_refused(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(2)))
        with pytest.raises(InvalidInputError, match="has 8 components; got 9"):
            catalog.find_videos(query(9), MODEL, VideoRanking())
        with pytest.raises(InvalidInputError, match="has 8 components; got 9"):
            catalog.put(indexed(video("b"), scenes(2, dimension=9)))


def test_searches_while_videos_are_replaced_see_only_whole_ones(tmp_path):
    versions = {count: indexed(video("x"), scenes(count, seed=count)) for count in (3, 40)}
    seen, stopped = [], threading.Event()

    def search(catalog):
        while not stopped.is_set():
            hits = catalog.find_scenes(query(), MODEL, ALL).hits
            seen.append(frozenset((hit.video_id, hit.ordinal, hit.score) for hit in hits))

    with Catalog(tmp_path) as catalog:
        whole = set()
        for name, count in (("y", 3), ("y", 40), ("x", 3), ("x", 40)):
            catalog.put(versions[count] if name == "x" else indexed(video("y"), scenes(5, seed=5)))
            whole.add(
                frozenset((h.video_id, h.ordinal, h.score) for h in catalog.find_scenes(query(), MODEL, ALL).hits)
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
        before = replace(catalog.stats(), disk_size_bytes=0)
    with Catalog(tmp_path) as catalog:
        assert [stored.video_id for stored in catalog.videos("", 10)[0]] == ["after"]
        assert replace(catalog.stats(), disk_size_bytes=0) == before


def test_reads_go_on_after_a_failed_write(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("v"), scenes(2, dimension=256)))
        with files_no_larger_than(1000), pytest.raises(DataLossError):
            catalog.delete("v")
        assert len(catalog.find_scenes(query(256), MODEL, ALL).hits) == 2
        assert len(catalog.scenes("v", 0, 10)[0]) == 2


def test_a_failed_write_and_a_failed_load_after_it_are_made_good_by_the_first_change_that_can(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("before"), scenes(50, dimension=256)))
    with Catalog(tmp_path) as catalog:  # which has moved the records from the log to a table
        with files_no_larger_than(1000), pytest.raises(DataLossError, match="not stored"):
            catalog.put(indexed(video("failed"), scenes(2, dimension=256)))
        (table,) = tmp_path.glob("*.ldb")
        middle = table.stat().st_size // 2
        flip_bytes(table, middle, middle + 1)
        for _ in range(2):
            with pytest.raises(DataLossError, match="'before' cannot be read"):
                catalog.put(indexed(video("after"), scenes(2, dimension=256)))
        flip_bytes(table, middle, middle + 1)
        catalog.put(indexed(video("after"), scenes(2, dimension=256)))
        before = replace(catalog.stats(), disk_size_bytes=0)
    with Catalog(tmp_path) as catalog:
        assert replace(catalog.stats(), disk_size_bytes=0) == before


def test_a_folder_in_use_stops_the_start_with_one_line(tmp_path):
    with Catalog(tmp_path), pytest.raises(StartupError, match=r"^[^\n]*another process has it open[^\n]*$"):
        Catalog(tmp_path)


def test_a_path_that_cannot_be_a_folder_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="is it a folder that the service may write"):
        Catalog(tmp_path / "file")


@pytest.mark.parametrize(("key", "value"), [(b"meta/schema", b"2"), (b"something", b"else")])
def test_a_database_of_another_schema_stops_the_start(tmp_path, key, value):
    with plyvel.DB(str(tmp_path), create_if_missing=True) as database:
        database.put(key, value)
    with pytest.raises(StartupError, match="run the version that wrote it, or set an empty folder"):
        Catalog(tmp_path)


@pytest.mark.parametrize("prefix", [b"video/", b"scene/", b"embedding/"])
def test_a_record_that_is_missing_is_noticed_at_the_start(tmp_path, prefix):
    with Catalog(tmp_path) as catalog:
        fill(catalog)
    with plyvel.DB(str(tmp_path)) as database:
        database.delete([key for key in database.iterator(include_value=False) if key.startswith(prefix)][-1])
    with pytest.raises(DataLossError):
        Catalog(tmp_path)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (b"video/a", "record of video 'a'"),
        (b"scene/a", "scenes of video 'a'"),
        (b"embedding/a\0\0\0\0\0", "embeddings of video 'a'"),
        (b"meta/contents", "record of the store's contents"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, key, named):
    with Catalog(tmp_path) as catalog:
        fill(catalog)
    with plyvel.DB(str(tmp_path)) as database:
        assert database.get(key)
        database.put(key, b"{")
    with pytest.raises(DataLossError, match=f"{named} cannot be read"):
        Catalog(tmp_path)


@pytest.mark.parametrize("kind", ["*.ldb", "*.log", "MANIFEST-*"])
def test_flipped_bytes_never_change_an_answer(tmp_path, kind):
    sound = tmp_path / "sound"
    with Catalog(sound) as catalog:
        fill(catalog)
        catalog.put(
            indexed(video("last", metadata={"fill": 40_000 * "x"}), [scene(0, [query()])])
        )  # a log of two blocks
        expected = answers(catalog)
    if kind != "*.log":
        with Catalog(sound):  # moves the records from the log to a table
            pass
    (name,) = (path.name for path in sound.glob(kind))
    size, refused = (sound / name).stat().st_size, 0
    for at in range(3, size - 1, max(1, size // 40)):
        folder = tmp_path / f"flipped-{at}"
        shutil.copytree(sound, folder)
        flip_bytes(folder / name, at, at + 1)
        with ExitStack() as stack:
            try:
                catalog = stack.enter_context(Catalog(folder))
                assert answers(catalog) == expected
            except (DataLossError, StartupError):
                refused += 1
        shutil.rmtree(folder)
    assert refused


def flip_bytes(path, first, stop):
    data = bytearray(path.read_bytes())
    data[first:stop] = bytes(byte ^ 0xFF for byte in data[first:stop])
    path.write_bytes(data)


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
