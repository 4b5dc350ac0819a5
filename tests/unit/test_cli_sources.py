import pytest

from cli.metadata import metadata_of
from cli.sources import uris_of
from services.common.errors import InvalidInputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.MP4", "a.mkv", "sub/c.webm", "notes.txt", "._b.mp4", "mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    return tmp_path


def test_a_folder_stands_for_the_videos_under_it_sorted(folder):
    assert uris_of([str(folder)]) == [f"{folder}/a.mkv", f"{folder}/b.MP4", f"{folder}/sub/c.webm"]


def test_a_folder_without_videos_is_an_error_that_says_so(tmp_path):
    with pytest.raises(InvalidInputError, match=f"no videos under {tmp_path}: a video's name ends in one of .3gp "):
        uris_of([str(tmp_path)])


def test_a_file_is_made_absolute_whatever_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert uris_of(["notes.txt"]) == [f"{folder}/notes.txt"]


def test_a_path_that_is_not_here_may_be_where_the_indexer_is():
    assert uris_of(["/nowhere/x.mp4"]) == ["/nowhere/x.mp4"]


def test_an_empty_argument_is_not_the_present_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InvalidInputError, match="an empty argument"):
        uris_of([""])


def test_a_url_is_left_as_it_is():
    assert uris_of(["https://example.org/a b.mp4?x=1"]) == ["https://example.org/a b.mp4?x=1"]


def test_a_video_named_twice_is_indexed_once(folder):
    assert uris_of([f"{folder}/sub/c.webm", str(folder / "sub")]) == [f"{folder}/sub/c.webm"]


def test_metadata_is_split_at_the_first_equals_sign():
    assert metadata_of(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("pair", ["a", "=1", ""])
def test_metadata_that_is_no_pair_is_refused(pair):
    with pytest.raises(InvalidInputError, match="KEY=VALUE"):
        metadata_of([pair])


def test_a_key_of_metadata_has_one_value():
    with pytest.raises(InvalidInputError, match="--meta a=2: a has a value already, 1"):
        metadata_of(["a=1", "b=1", "a=2"])
