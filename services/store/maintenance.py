"""Care for a store that is stopped: is all of it sound, and if not, what can be kept.

Both work on a copy made of links, so that the data folder stays as it is while it is looked at.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.common.errors import DataLossError, NotFoundError, StartupError
from services.store import backup, files, keys, records, schema
from services.store.database import Database
from services.store.records import Contents

CHECKING = "checking"
"""The folder of the copy."""


@dataclass(slots=True)
class Report:
    """What a store holds that is sound, and what is not."""

    video_count: int = 0
    scene_count: int = 0
    sample_count: int = 0
    image_count: int = 0
    lost_video_ids: list[str] = field(default_factory=list)
    """Videos that are damaged."""
    findings: list[str] = field(default_factory=list)
    """What is wrong, a line each; empty if nothing is."""
    kept_folder: Path | None = None
    """Where a repair has put the damaged files."""


def verify(folder: Path) -> Report:
    """Read every record, and see that all fit together. The store must be stopped; nothing is changed."""
    with _copy(folder) as database:
        report = Report()
        for _ in _sound(database, report):
            pass
        return report


def repair(folder: Path) -> Report:
    """If anything is damaged, make a store of the rest in its place: each video is kept whole, or not at all.

    Images that are damaged are dropped alone, and so are embeddings of another model that are not searched yet. The
    damaged files are kept.
    """
    with files.locked(_existing(folder)):
        with _copied(folder) as database:
            report = Report()
            backup.write(folder / files.BUILDING, _sound(database, report))
        if not report.findings or not report.video_count:
            shutil.rmtree(folder / files.BUILDING)
        else:
            report.kept_folder = files.install(folder)
    return report


@contextmanager
def _copy(folder: Path) -> Iterator[Database]:
    with files.locked(_existing(folder)), _copied(folder) as database:
        yield database


@contextmanager
def _copied(folder: Path) -> Iterator[Database]:
    copy = folder / CHECKING
    try:
        files.link(folder, copy)
        if (folder / files.CHANGES).exists():
            shutil.copy(folder / files.CHANGES, copy)
        try:
            database = Database(copy)
        except StartupError as error:
            raise DataLossError(str(error).replace(str(copy), str(folder))) from error
        try:
            yield database
        finally:
            database.close()
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _existing(folder: Path) -> Path:
    if not any(map(files.of_database, (folder, folder / files.READY, folder / files.INSTALLING))):
        raise NotFoundError(f"{folder} holds no store: name the data folder of one")
    return folder


def _sound(database: Database, report: Report) -> Iterator[tuple[bytes, bytes]]:
    """The records of a store without what is damaged."""
    if database.damage:
        report.findings.append(database.damage)
    contents = database.contents()
    scene_counts = {}
    for video_id in database.video_ids():
        try:
            indexed = database.indexed(video_id, contents)
        except DataLossError as error:
            report.lost_video_ids.append(video_id)
            report.findings.append(str(error))
            continue
        scene_counts[video_id] = len(indexed.scenes)
        report.video_count += 1
        report.scene_count += len(indexed.scenes)
        report.sample_count += len(indexed.embeddings)
        yield from _of_video(database, video_id, len(indexed.scenes), contents.generation)
        yield from _images(database, video_id, len(indexed.scenes), report)
    _compare(database, contents, scene_counts, report)
    sound = replace(
        contents,
        video_count=report.video_count,
        scene_count=report.scene_count,
        sample_count=report.sample_count,
    )
    yield from schema.of_store(records.encode_contents(sound), database.changes)


def _of_video(database: Database, video_id: str, scene_count: int, generation: int) -> Iterator[tuple[bytes, bytes]]:
    of_scenes = (keys.embeddings(generation) + keys.pack_scene(video_id, ordinal) for ordinal in range(scene_count))
    for key in (keys.VIDEOS + keys.pack_video(video_id), keys.SCENES + keys.pack_video(video_id), *of_scenes):
        yield key, database.get(key) or b""


def _images(database: Database, video_id: str, scene_count: int, report: Report) -> Iterator[tuple[bytes, bytes]]:
    for ordinal in range(scene_count):
        try:
            images = database.images(video_id, ordinal)
        except DataLossError as error:
            report.findings.append(str(error))
            continue
        if images:
            report.image_count += sum(map(bool, images))
            yield keys.IMAGES + keys.pack_scene(video_id, ordinal), records.encode_images(images)


def _compare(database: Database, contents: Contents, scene_counts: dict[str, int], report: Report) -> None:
    """Find what is missing without a trace, what nothing refers to, and what only a reading of all of it shows."""
    found = (report.video_count + len(report.lost_video_ids), report.scene_count, report.sample_count)
    written = (contents.video_count, contents.scene_count, contents.sample_count)
    if found[0] != written[0] or (found != written and not report.lost_video_ids):
        report.findings.append(f"there are {found[0]} videos where {written[0]} were written")
    for prefix in (keys.embeddings(contents.generation), keys.IMAGES):
        known = (keys.unpack_scene(key) for key in database.keys(prefix))
        strays = sum(
            ordinal >= scene_counts.get(video_id, 0)
            for video_id, ordinal in known
            if video_id not in report.lost_video_ids
        )
        if strays:
            report.findings.append(f"{strays} records under {prefix.decode()} belong to no scene")
    try:
        for _ in database.records():
            pass
    except DataLossError as error:
        if not report.findings:
            report.findings.append(str(error))
