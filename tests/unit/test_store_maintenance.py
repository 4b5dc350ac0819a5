import shutil

import plyvel
import pytest

from services.common.errors import DataLossError, NotFoundError, PreconditionError
from services.store import files, maintenance
from services.store.catalog import Catalog
from services.store.keys import pack_scene
from services.store.schema import CONTENTS_KEYS
from tests.pictures import DIMENSION, picture
from tests.stores import embeddings_of, files_no_larger_than, image, indexed, scenes, video, with_images


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    with Catalog(folder) as catalog:
        for seed, name in enumerate("abc"):
            made = with_images(scenes(4, dimension=DIMENSION, seed=seed), [image(seed), b"", image(9)])
            catalog.put(indexed(video(name), made))
    return folder


def change(folder, key, value):
    with plyvel.DB(str(folder)) as database:
        database.put(key, value)


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "LOCK"}


def test_a_sound_store_is_told_so_and_left_as_it_is(store):
    before = contents_of(store)
    for look in (maintenance.verify, maintenance.repair):
        report = look(store)
        assert (report.video_count, report.scene_count, report.sample_count, report.image_count) == (3, 12, 36, 24)
        assert (report.findings, report.lost_video_ids, report.kept_folder) == ([], [], None)
    assert contents_of(store) == before


def test_a_store_with_another_models_embeddings_beside_its_own_is_sound(store):
    with Catalog(store) as catalog:
        stored = catalog.video("a")
        catalog.put_embeddings(embeddings_of(stored, scenes(4, dimension=16), "model-b"))
    assert maintenance.verify(store).findings == []


DAMAGE = [
    (b"video/b", ["b"], "the record of video 'b'"),
    (b"scene/b", ["b"], "the scenes of video 'b'"),
    (b"embedding/" + pack_scene("b", 0), ["b"], "the embeddings of video 'b'"),
    (b"image/" + pack_scene("b", 0), [], "the images of scene 0 of video 'b'"),
    (b"embedding/" + pack_scene("b", 4), [], "1 records under embedding/ belong to no scene"),
    (b"image/" + pack_scene("z", 0), [], "1 records under image/ belong to no scene"),
]


@pytest.mark.parametrize(("key", "lost", "told"), DAMAGE)
def test_repair_keeps_each_video_whole_or_not_at_all_and_the_damaged_files_aside(store, key, lost, told):
    with Catalog(store) as catalog:
        before = picture(catalog)
    change(store, key, b"{")
    damaged = contents_of(store)
    found = maintenance.verify(store)
    assert contents_of(store) == damaged
    report = maintenance.repair(store)
    assert (report.lost_video_ids, found.lost_video_ids) == (lost, lost)
    assert report.findings == found.findings
    assert any(told in finding for finding in report.findings)
    for name in ("CURRENT", *(path.name for path in report.kept_folder.glob("*.ldb"))):
        assert (report.kept_folder / name).read_bytes() == damaged[name]
    assert maintenance.verify(store).findings == []
    with Catalog(store) as catalog:
        assert picture(catalog) == {video_id: said for video_id, said in before.items() if video_id not in lost}
        assert catalog.thumbnail("a", 0, None).image in (image(0), image(9))
        catalog.put(indexed(video("b"), scenes(4, dimension=DIMENSION)))
        assert catalog.stats().read_only_reason == ""


def test_a_store_of_which_nothing_is_left_is_not_replaced_by_an_empty_one(store):
    for name in "abc":
        change(store, b"video/" + name.encode(), b"{")
    before = contents_of(store)
    assert maintenance.repair(store).kept_folder is None
    assert contents_of(store) == before


def test_what_cannot_be_opened_at_all_is_said_in_one_line(store):
    for path in store.glob("*.ldb"):
        path.write_bytes(b"nonsense")
    for look in (maintenance.verify, maintenance.repair):
        with pytest.raises(DataLossError, match=r"^[^\n]*put back a backup[^\n]*$"):
            look(store)


def test_a_repair_without_room_changes_nothing(store):
    change(store, b"video/b", b"{")
    before = contents_of(store)
    with files_no_larger_than(3000), pytest.raises(DataLossError):
        maintenance.repair(store)
    assert contents_of(store) == before
    assert maintenance.repair(store).lost_video_ids == ["b"]


def test_a_repair_that_ends_halfway_leaves_nothing_behind(store):
    for key in CONTENTS_KEYS:
        change(store, key, b"{")
    with pytest.raises(DataLossError, match="contents cannot be read"):
        maintenance.repair(store)
    assert not [path for path in store.iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", [files.READY, files.INSTALLING])
def test_a_store_that_was_left_in_the_midst_of_a_repair_is_found(store, name):
    (store / name).mkdir()
    for path in files.of_database(store):
        path.rename(store / name / path.name)
    assert maintenance.verify(store).video_count == 3


def test_a_store_that_is_served_is_left_alone(store):
    with Catalog(store):
        for look in (maintenance.verify, maintenance.repair):
            with pytest.raises(PreconditionError, match="another process has it open"):
                look(store)


def test_a_folder_without_a_store_is_named(tmp_path):
    for look in (maintenance.verify, maintenance.repair):
        with pytest.raises(NotFoundError, match="holds no store"):
            look(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("moved", range(3))
def test_a_repair_that_was_cut_short_is_finished_by_the_next_start(store, tmp_path, moved):
    change(store, b"video/b", b"{")
    shutil.copytree(store, tmp_path / "again")
    maintenance.repair(store)
    (tmp_path / "again" / files.READY).mkdir()
    for path in files.of_database(store):
        shutil.copy(path, tmp_path / "again" / files.READY)
    for path in [*reversed(files.of_database(tmp_path / "again"))][:moved]:
        path.unlink()  # as if set aside already
    with Catalog(tmp_path / "again") as catalog, Catalog(store) as repaired:
        assert picture(catalog) == picture(repaired)
        assert catalog.stats().read_only_reason == ""
