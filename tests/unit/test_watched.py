import logging
import os
import threading
from pathlib import Path

import pytest

from services.common import watched
from services.common.watched import Watched


@pytest.fixture(autouse=True)
def always_looked_at(monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 0.0)


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "number"
    file.write_text("1")
    return file


def number(file: Path) -> Watched[int]:
    return Watched((file,), lambda: int(file.read_text()))


def test_a_file_that_changes_is_read_again(file):
    watching = number(file)
    assert watching.value == 1
    file.write_text("2")
    assert watching.value == 2


def test_a_file_that_stays_is_not_read_again(file):
    values = iter(range(2))
    watching = Watched((file,), lambda: next(values))
    file.write_text("1")
    assert [watching.value, watching.value] == [0, 0]


def test_a_change_of_the_same_size_at_the_same_time_is_seen(file):
    """The clock of file times ticks every few milliseconds, and keys of one kind are all of one size."""
    watching, found = number(file), file.stat()
    file.write_text("2")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert watching.value == 2


def test_a_file_is_not_looked_at_all_the_time(file, monkeypatch):
    monkeypatch.setattr(watched, "CHECK_INTERVAL_S", 60.0)
    watching = number(file)
    file.write_text("2")
    assert watching.value == 1


def test_what_a_link_points_to_may_change(file, tmp_path):
    """As Kubernetes replaces a mounted secret."""
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(file)
    watching = number(link)
    other.write_text("7")
    (tmp_path / "new").symlink_to(other)
    (tmp_path / "new").replace(link)
    assert watching.value == 7


@pytest.mark.parametrize("break_it", [lambda file: file.write_text("many"), lambda file: file.unlink()])
def test_a_file_that_is_broken_or_gone_leaves_the_value_and_one_line_in_the_log(file, caplog, break_it):
    watching = number(file)
    break_it(file)
    assert [watching.value, watching.value] == [1, 1]
    (record,) = caplog.records
    assert (record.levelno, record.message, record.files) == (logging.ERROR, "file not taken", str(file))


def test_a_file_that_is_put_right_is_read_again(file):
    watching = number(file)
    file.write_text("many")
    assert watching.value == 1
    file.write_text("2")
    assert watching.value == 2


def test_a_file_that_is_wrong_at_first_is_an_error(file):
    file.write_text("many")
    with pytest.raises(ValueError, match="many"):
        number(file)


def test_a_slow_reading_is_not_overtaken_by_one_that_began_later(file):
    """Else what was read first would stay, though it is older."""
    begun, go_on = threading.Event(), threading.Event()

    def read() -> int:
        found = int(file.read_text())
        if found == 2:
            begun.set()
            go_on.wait(5)
        return found

    watching = Watched((file,), read)
    file.write_text("2")
    slow = threading.Thread(target=lambda: watching.value)
    slow.start()
    begun.wait(5)
    file.write_text("3")
    fast = threading.Thread(target=lambda: watching.value)
    fast.start()
    fast.join(0.2)  # it cannot end before the slow one; if it did, it would by then
    go_on.set()
    slow.join()
    fast.join()
    assert watching.value == 3
