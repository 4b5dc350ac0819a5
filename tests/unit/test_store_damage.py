"""A store of which a part is damaged: that part is told of, the rest is served, and nothing is written."""

import shutil
from pathlib import Path

import plyvel
import pytest

from services.common.errors import DataLossError, NotFoundError, StartupError
from services.common.ranking import SceneRanking, VideoPart
from services.store import files, maintenance
from services.store.catalog import Catalog
from services.store.files import Witness
from services.store.keys import pack_scene
from tests.pictures import DIMENSION, QUERY, flip, picture
from tests.stores import files_no_larger_than, image, indexed, scenes, video, with_images

ALL = SceneRanking(top_k=1000)


def fill(folder, names="abcd", count=30):
    """Videos that lie in blocks of their own; as they are told after a restart."""
    with Catalog(folder) as catalog:
        for seed, name in enumerate(names):
            made = with_images(scenes(count, dimension=DIMENSION, seed=seed), [image(seed, 2000), b"", b""])
            catalog.put(indexed(video(name), made))
    with Catalog(folder) as catalog:
        return picture(catalog)


def change(folder, key, value):
    """Write a record, or remove it, as no store would."""
    with plyvel.DB(str(folder)) as database:
        assert database.get(key)
        if value is None:
            database.delete(key)
        else:
            database.put(key, value)


RECORDS = [
    (b"video/b", "the record of video 'b' cannot be read"),
    (b"scene/b", "the scenes of video 'b' cannot be read"),
    (b"embedding/" + pack_scene("b", 0), "the embeddings of video 'b' cannot be read"),
]


@pytest.mark.parametrize(("key", "told"), RECORDS)
@pytest.mark.parametrize("value", [None, b"{"])
def test_a_video_with_a_damaged_record_is_data_loss_and_all_others_are_served(tmp_path, key, told, value):
    sound = fill(tmp_path)
    change(tmp_path, key, value)
    with Catalog(tmp_path) as catalog:
        assert picture(catalog) == {video_id: sound[video_id] for video_id in "acd"}
        for read in (
            lambda: catalog.video("b"),
            lambda: catalog.scenes("b", 0, 1),
            lambda: catalog.timeline("b", QUERY),
            lambda: catalog.find_scenes((VideoPart("b"),), ALL),
        ):
            with pytest.raises(DataLossError, match=f"video 'b' is damaged: {told}"):
                read()
        with pytest.raises(NotFoundError):
            catalog.video("never")


@pytest.mark.parametrize(("key", "told"), RECORDS)
def test_nothing_is_written_to_a_damaged_store_and_the_refusal_says_what_to_do(tmp_path, key, told):
    fill(tmp_path)
    change(tmp_path, key, b"{")
    with Catalog(tmp_path) as catalog:
        for write in (
            lambda: catalog.put(indexed(video("new"), scenes(1, dimension=DIMENSION))),
            lambda: catalog.update("a", {"title": "new"}),
            lambda: catalog.delete("b"),
            lambda: catalog.switch_model("model-b"),
            catalog.backup,
        ):
            with pytest.raises(DataLossError, match=f"{told}.*Stop the store and run `videosearch store repair`"):
                write()
        assert told in catalog.stats().read_only_reason


def test_a_video_that_is_gone_without_a_trace_is_noticed(tmp_path):
    fill(tmp_path)
    for key in (b"video/b", b"scene/b"):
        change(tmp_path, key, None)
    with Catalog(tmp_path) as catalog:
        with pytest.raises(DataLossError, match=r"'b' is not among those that can be read.*video_count=3"):
            catalog.video("b")
        assert len(picture(catalog)) == 3


def test_either_copy_of_what_holds_for_the_whole_store_is_enough(tmp_path):
    sound = fill(tmp_path)
    change(tmp_path, b"meta/contents", None)
    change(tmp_path, b"schema", None)
    with Catalog(tmp_path) as catalog:
        assert picture(catalog) == sound
        catalog.delete("a")
    with plyvel.DB(str(tmp_path)) as database:
        assert database.get(b"meta/contents")


def test_a_damaged_image_is_data_loss_when_it_is_asked_for_and_makes_the_store_read_only(tmp_path):
    sound = fill(tmp_path)
    change(tmp_path, b"image/" + pack_scene("b", 3), b"{")
    with Catalog(tmp_path) as catalog:
        assert catalog.thumbnail("b", 2, None).image == image(1, 2000)
        catalog.update("a", {"title": sound["a"][0].title})
        with pytest.raises(DataLossError, match="the images of scene 3 of video 'b' cannot be read"):
            catalog.thumbnail("b", 3, None)
        assert picture(catalog) == sound
        with pytest.raises(DataLossError, match=r"the images of scene 3 of video 'b'.*repair"):
            catalog.update("a", {"title": "new"})


def test_damage_that_shows_only_after_a_failed_write_makes_the_store_read_only(tmp_path):
    fill(tmp_path)
    new = indexed(video("new"), scenes(2, dimension=DIMENSION))
    with Catalog(tmp_path) as catalog:
        with files_no_larger_than(100), pytest.raises(DataLossError, match="not stored"):
            catalog.put(new)
        for table in tmp_path.glob("*.ldb"):
            flip(table, 20_000)  # among the embeddings, which come first
        for _ in range(2):
            with pytest.raises(DataLossError, match=r"cannot be read.*repair"):
                catalog.put(new)


def test_damage_that_only_a_compaction_meets_makes_the_store_read_only(tmp_path):
    sound = fill(tmp_path)
    (table,) = tmp_path.glob("*.ldb")
    flip(table, 100_000)  # among the images
    with Catalog(tmp_path) as catalog:
        assert picture(catalog) == sound
        catalog.update("a", {"title": sound["a"][0].title})
        catalog._database._db.compact_range(start=b"a", stop=b"z")  # as LevelDB does by itself, some time
        with pytest.raises(DataLossError, match="was not changed: the database cannot be written"):
            catalog.update("a", {"title": "new"})
        with pytest.raises(DataLossError, match=r"the database's files are damaged.*repair"):
            catalog.update("a", {"title": "new"})
        assert picture(catalog) == sound
    assert maintenance.repair(tmp_path).lost_video_ids == []
    with Catalog(tmp_path) as catalog:
        assert (picture(catalog), catalog.stats().read_only_reason) == (sound, "")


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"nonsense")])
def test_a_lost_list_of_files_costs_nothing(tmp_path, name, harm):
    sound = fill(tmp_path)
    (path,) = tmp_path.glob(name)
    harm(path)
    with Catalog(tmp_path) as catalog:
        assert picture(catalog) == sound
        assert "the database's files are damaged" in catalog.stats().read_only_reason
    assert maintenance.repair(tmp_path).lost_video_ids == []
    with Catalog(tmp_path) as catalog:
        assert (picture(catalog), catalog.stats().read_only_reason) == (sound, "")


def test_changes_that_the_log_lost_silently_are_noticed(tmp_path):
    fill(tmp_path / "live")
    with Catalog(tmp_path / "live") as catalog:
        catalog.delete("a")
        catalog.delete("b")
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    (log,) = (path for path in (tmp_path / "crashed").glob("*.log"))
    data = bytearray(log.read_bytes())
    data[5] |= (
        0x40  # of the length of the first batch: now it seems to go beyond the end, as when a crash cuts it short
    )
    log.write_bytes(data)
    with Catalog(tmp_path / "crashed") as catalog:
        assert "they lack 2 changes" in catalog.stats().read_only_reason


def test_changes_whose_table_left_the_list_are_found_again(tmp_path):
    """The list is torn at its end, as by a crash: LevelDB would drop what was added last, and remove its table."""
    with Catalog(tmp_path / "live") as catalog:
        manifest = next((tmp_path / "live").glob("MANIFEST-*"))
        listed = manifest.stat().st_size
        names = iter(range(10_000))
        while manifest.stat().st_size == listed:  # until LevelDB moves its log to a table
            catalog.put(indexed(video(f"v{next(names)}"), scenes(1000, dimension=DIMENSION)))
        sound = picture(catalog)
        shutil.copytree(tmp_path / "live", tmp_path / "torn")
    torn = tmp_path / "torn" / manifest.name
    torn.write_bytes(torn.read_bytes()[: listed + 8])
    for _ in range(2):  # also when a second opening comes after the first
        with Catalog(tmp_path / "torn") as catalog:
            assert picture(catalog) == sound
            assert "the list of them is torn" in catalog.stats().read_only_reason
    assert maintenance.repair(tmp_path / "torn").lost_video_ids == []
    with Catalog(tmp_path / "torn") as catalog:
        assert (picture(catalog), catalog.stats().read_only_reason) == (sound, "")


def test_when_tables_and_their_list_are_damaged_nothing_is_guessed(tmp_path):
    fill(tmp_path)
    (tmp_path / "CURRENT").unlink()
    for table in tmp_path.glob("*.ldb"):
        flip(table, table.stat().st_size // 2)
    with pytest.raises(StartupError, match="the database is damaged; put back a backup"):
        Catalog(tmp_path)


@pytest.mark.parametrize("told", [b"", b"nonsense", b"99 00000000"])
def test_a_count_of_changes_that_is_damaged_itself_is_passed_over(tmp_path, told):
    fill(tmp_path)
    (tmp_path / files.CHANGES).write_bytes(told)
    with Catalog(tmp_path) as catalog:
        assert catalog.stats().read_only_reason == ""
    assert Witness(tmp_path).read() == 4


def test_the_first_start_may_be_cut_short(tmp_path):
    (tmp_path / "MANIFEST-000001").write_bytes(b"part")
    with Catalog(tmp_path) as catalog:
        assert catalog.stats().read_only_reason == ""
