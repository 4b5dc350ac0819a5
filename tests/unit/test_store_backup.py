import shutil
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import DataLossError, InvalidInputError, PreconditionError, UnavailableError
from services.store import backup, files
from services.store.catalog import Catalog
from services.store.damage import Damage
from tests.pictures import DIMENSION, picture
from tests.stores import files_no_larger_than, image, indexed, scenes, video, with_images


def fill(catalog, names):
    for seed, name in enumerate(names):
        made = with_images(scenes(20, dimension=DIMENSION, seed=seed), [image(seed), b"", b""])
        catalog.put(indexed(video(name, metadata={"name": name}), made))


@pytest.fixture
def made(tmp_path):
    """A backup, and what the store said then."""
    with Catalog(tmp_path / "store") as catalog:
        fill(catalog, "abc")
        catalog.delete("b")
        (tmp_path / "backup").write_bytes(b"".join(catalog.backup()))
        return tmp_path / "backup", picture(catalog)


def test_a_restored_store_answers_identically_and_goes_on(made, tmp_path):
    file, expected = made
    backup.restore(file, tmp_path / "new" / "folder")
    with Catalog(tmp_path / "new" / "folder") as catalog:
        assert picture(catalog) == expected
        assert catalog.thumbnail("c", 3, None).image == image(2)
        assert b"".join(catalog.backup()) == file.read_bytes()
        catalog.delete("a")
    with Catalog(tmp_path / "new" / "folder") as catalog:
        assert set(picture(catalog)) == {"c"}
        assert catalog.stats().read_only_reason == ""


def test_a_backup_is_of_one_moment_whatever_is_written_while_it_is_read(tmp_path):
    with Catalog(tmp_path / "store") as catalog:
        fill(catalog, [f"v{n}" for n in range(12)])
        catalog.put(indexed(video("large"), scenes(5000, dimension=DIMENSION)))
        before, pieces = picture(catalog), catalog.backup()
        first = next(pieces)
        catalog.delete("v3")
        fill(catalog, ["v5", "new"])
        data = first + b"".join(pieces)
    (tmp_path / "backup").write_bytes(data)
    backup.restore(tmp_path / "backup", tmp_path / "restored")
    with Catalog(tmp_path / "restored") as catalog:
        assert picture(catalog) == before


def test_a_backup_ends_with_an_error_when_the_database_must_be_opened_anew(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("large"), scenes(5000, dimension=DIMENSION)))
        pieces = catalog.backup()
        next(pieces)
        with files_no_larger_than(1000), pytest.raises(DataLossError):
            catalog.delete("large")
        catalog.update("large", {"title": "written again"})
        with pytest.raises(UnavailableError, match="opened anew after a failed write; try again"):
            list(pieces)
        assert len(b"".join(catalog.backup())) > 1 << 20


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 3 << 20)), max_size=4))
def test_no_piece_is_larger_than_a_message_should_be(records):
    pieces = list(backup.written((key, bytes(size)) for key, size in records))
    assert max(map(len, pieces)) <= backup.PIECE_BYTES
    assert sum(map(len, pieces)) == len(backup.FORMAT) + 32 + sum(8 + len(key) + size for key, size in records)


def test_no_piece_is_empty_which_would_end_the_stream_before_the_digest():
    filling = backup.PIECE_BYTES - len(backup.FORMAT) - 8 - len(b"key")
    assert list(map(len, backup.written([(b"key", bytes(filling))]))) == [backup.PIECE_BYTES, backup.DIGEST_BYTES]


def test_a_database_that_could_not_be_opened_again_is_no_unknown_error_of_a_backup(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("v"), scenes(2, dimension=256)))
        with files_no_larger_than(1000):
            for message in ("was not deleted", "cannot be opened again"):
                with pytest.raises(DataLossError, match=message):
                    catalog.delete("v")
            with pytest.raises(DataLossError, match="could not be opened again after a failed write"):
                list(catalog.backup())
        catalog.delete("v")
        assert len(list(catalog.backup())) == 2


def test_pieces_are_read_one_at_a_time():
    read = []

    def records():
        for number in range(100):
            read.append(number)
            yield b"key", bytes(300_000)

    assert len(list(islice(backup.written(records()), 3))) == 3
    assert len(read) <= 12


HARM = {
    "cut short": lambda data: data[:-1],
    "cut at a record": lambda data: data[: len(data) // 2],
    "made longer": lambda data: data + b"\0",
    "flipped at the start": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "flipped at the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "of another format": lambda data: data.replace(b"backup 1", b"backup 2", 1),
    "empty": lambda _: b"",
    "only a head": lambda _: backup.FORMAT,
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_a_file_that_is_not_what_was_written_is_refused_and_leaves_no_store(made, tmp_path, harm):
    file, _ = made
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(InvalidInputError, match=r"damaged or not complete|is no backup of a store"):
        backup.restore(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_a_store_is_not_written_to(made, tmp_path):
    file, expected = made
    with pytest.raises(PreconditionError, match="holds a store already"):
        backup.restore(file, tmp_path / "store")
    with Catalog(tmp_path / "store") as catalog:
        assert picture(catalog) == expected
        with pytest.raises(PreconditionError, match="another process has it open"):
            backup.restore(file, tmp_path / "store")


def test_a_restore_without_room_leaves_no_store_and_can_be_done_again(made, tmp_path):
    file, expected = made
    with files_no_larger_than(20_000), pytest.raises(DataLossError, match="is its disk full"):
        backup.restore(file, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    backup.restore(file, tmp_path / "new")
    with Catalog(tmp_path / "new") as catalog:
        assert picture(catalog) == expected


@pytest.mark.parametrize("moved", range(4))
def test_a_restore_that_was_cut_short_is_finished_by_the_next_start(made, tmp_path, moved):
    """As a crash leaves it: the new files are complete, and some of them are in their place."""
    file, expected = made
    backup.restore(file, tmp_path / "new")
    ready = tmp_path / "new" / (files.INSTALLING if moved else files.READY)
    ready.mkdir()
    for path in files.of_database(tmp_path / "new")[moved:]:
        path.rename(ready / path.name)
    with Catalog(tmp_path / "new") as catalog:
        assert picture(catalog) == expected
    assert not ready.exists()


def test_what_a_restore_began_and_did_not_complete_is_no_store(made, tmp_path):
    file, expected = made
    shutil.copytree(tmp_path / "store", tmp_path / "new" / files.BUILDING)
    backup.restore(file, tmp_path / "new")
    with Catalog(tmp_path / "new") as catalog:
        assert picture(catalog) == expected


def test_a_store_names_some_of_much_damage():
    damage = Damage()
    for number in range(1000):
        damage.note(f"record {number} cannot be read", f"v{number}")
    assert "record 4 cannot be read; and 995 more. Stop the store" in damage.reason
    with pytest.raises(DataLossError, match="video 'v999' is damaged: record 999"):
        damage.check_readable("v999")
