"""`videosearch store` against a store on loopback, and against the files of one that is stopped."""

import os
import sys

import plyvel
import pytest

import services.store.backup
from services.store.catalog import Catalog
from tests.commands import data, run
from tests.pictures import DIMENSION, picture
from tests.stores import indexed, scenes, store, video


@pytest.fixture
def folder(tmp_path):
    """Of a store with two videos."""
    with Catalog(tmp_path / "store") as catalog:
        for seed, name in enumerate("ab"):
            catalog.put(indexed(video(name), scenes(3, dimension=DIMENSION, seed=seed)))
    return tmp_path / "store"


@pytest.fixture
async def serving(folder, monkeypatch):
    async with store(folder) as client:
        monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", client.address)
        yield client


async def test_a_backup_that_is_restored_is_the_same_store(serving, folder, tmp_path):
    made = await run("store", "backup", str(tmp_path / "backup"))
    assert made.exit_code == 0, made.output
    await serving.delete_video("a")
    restored = await run("store", "restore", str(tmp_path / "backup"), str(tmp_path / "new"))
    assert restored.exit_code == 0, restored.output
    assert "all sound: 2 videos, 6 scenes, 18 samples" in restored.stdout
    assert f"VIDEOSEARCH_STORE_DATA_FOLDER={tmp_path / 'new'}" in restored.stdout
    with Catalog(tmp_path / "new") as catalog:
        assert set(picture(catalog)) == {"a", "b"}


async def test_a_backup_replaces_a_file_only_if_told_to(serving, tmp_path):
    (tmp_path / "backup").write_text("of last week")
    refused = await run("store", "backup", str(tmp_path / "backup"))
    assert (refused.exit_code, (tmp_path / "backup").read_text()) == (4, "of last week")
    assert "add --force" in refused.stderr
    made = await run("store", "backup", str(tmp_path / "backup"), "--force")
    assert made.exit_code == 0, made.output
    assert (tmp_path / "backup").read_bytes().startswith(b"videosearch backup 1\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/backup", "cannot be written: No such file or directory"),
        ("file/backup", "cannot be written: Not a directory"),
        ("x" * 253, "cannot be written: File name too long"),
        ("x" * 300, "cannot be written: File name too long"),
        (".", "is a folder: name a file"),
        ("pipe", "is a device or a pipe: name a file"),
    ],
)
async def test_a_backup_that_cannot_be_written_is_told_in_one_line(serving, tmp_path, name, reason):
    (tmp_path / "file").write_text("a file")
    os.mkfifo(tmp_path / "pipe")
    refused = await run("store", "backup", str(tmp_path / name), "--force")
    assert (refused.exit_code, refused.stderr) == (4, f"videosearch: {tmp_path / name} {reason}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"store", "file", "pipe"}


async def test_a_backup_that_fails_leaves_no_file(serving, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", "127.0.0.1:1")
    away = await run("store", "backup", str(tmp_path / "backup"))
    assert away.exit_code == 5
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


async def test_verify_says_that_all_is_sound(folder):
    result = await run("store", "verify", str(folder))
    assert (result.exit_code, result.stdout) == (0, "all sound: 2 videos, 6 scenes, 18 samples, 0 images\n")


async def test_verify_names_what_is_damaged_and_repair_keeps_the_rest(folder):
    with plyvel.DB(str(folder)) as database:
        database.put(b"video/b", b"nonsense")
    found = await run("store", "verify", str(folder))
    assert found.exit_code == 6
    assert "sound: 1 video, 3 scenes, 9 samples" in found.stdout
    assert "damaged: the record of video 'b' cannot be read" in found.stdout
    repaired = await run("store", "repair", str(folder))
    assert repaired.exit_code == 0, repaired.output
    assert "Videos lost, to be indexed again: b" in repaired.stdout
    assert str(folder / "damaged-") in repaired.stdout
    assert (await data("store", "verify", str(folder)))["findings"] == []


async def test_a_program_reads_what_repair_did(folder):
    with plyvel.DB(str(folder)) as database:
        database.put(b"video/b", b"nonsense")
    done = await data("store", "repair", str(folder))
    assert (done["video_count"], done["lost_video_ids"]) == (1, ["b"])
    assert done["kept_folder"].startswith(str(folder / "damaged-"))


async def test_status_says_why_a_store_takes_no_writes(folder, monkeypatch):
    with plyvel.DB(str(folder)) as database:
        database.put(b"video/b", b"nonsense")
    async with store(folder) as client:
        monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", client.address)
        result = await run("status")
    assert "1 video, 3 scenes, 9 samples" in result.stdout
    assert "The store takes no writes: the store's data is damaged" in result.stderr


@pytest.mark.parametrize("command", ["verify", "repair"])
async def test_the_files_of_a_running_store_are_left_alone(serving, folder, command):
    result = await run("store", command, str(folder))
    assert (result.exit_code, result.stdout) == (4, "")
    assert "another process has it open" in result.stderr


async def test_a_backup_that_does_not_exist_is_wrong_usage(tmp_path):
    result = await run("store", "restore", str(tmp_path / "none"), str(tmp_path / "new"))
    assert (result.exit_code, result.stderr) == (2, f"videosearch: {tmp_path / 'none'} does not exist\n")


async def test_without_the_packages_of_the_store_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.delattr(services.store, "backup")
    monkeypatch.setitem(sys.modules, "services.store.backup", None)
    result = await run("store", "restore", str(folder), str(folder))
    assert result.exit_code == 4
    assert "install videosearch[store]" in result.stderr
