"""What can still be read of a LevelDB whose log or list of files is damaged."""

import shutil
from pathlib import Path

import plyvel

from services.common.errors import DataLossError
from services.store import files


def readable(folder: Path, scratch: Path, *, listed: bool) -> "plyvel.DB":
    """Open a copy of the files in `folder`, with all that can be told to be right; the files stay as they are.

    `listed` says whether LevelDB's list of its files (the MANIFEST) may be believed. plyvel.Error or DataLossError if
    nothing can be told to be right.
    """
    if listed:
        try:
            return _without_damaged_changes(folder, scratch)
        except plyvel.Error:  # then the list is damaged too
            pass
    return _with_a_new_list(folder, scratch)


def _without_damaged_changes(folder: Path, scratch: Path) -> "plyvel.DB":
    """LevelDB leaves out, whole, each batch in its log whose checksum is wrong."""
    files.link(folder, scratch)
    plyvel.DB(str(scratch)).close()
    return plyvel.DB(str(scratch), paranoid_checks=True)


def _with_a_new_list(folder: Path, scratch: Path) -> "plyvel.DB":
    """LevelDB's repair trusts what it finds in a log, so the logs become tables before it, with their checksums.

    It makes the list anew from the tables. What it leaves out of a damaged table may hide that something older, which
    it keeps, was replaced: then nothing can be told to be right.
    """
    logs = scratch.with_name(scratch.name + ".logs")
    files.link(folder, scratch)
    _make_empty(logs)
    for log in scratch.glob("*.log"):
        log.rename(logs / f"1{log.name}")  # a number above those of the empty database
    plyvel.DB(str(logs)).close()
    for table in logs.glob("*.ldb"):
        table.rename(scratch / f"1{table.name}")  # above those of the other tables
    shutil.rmtree(logs)
    plyvel.repair_db(str(scratch), paranoid_checks=True)
    if list(scratch.glob("lost/*.ldb")):
        raise DataLossError("its tables are damaged, and the list of them is too")
    return plyvel.DB(str(scratch), paranoid_checks=True)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    plyvel.DB(str(folder), create_if_missing=True).close()
