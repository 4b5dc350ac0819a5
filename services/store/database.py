"""The three indexes on disk: one LevelDB, one atomic and synced batch for each change."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import plyvel

from services.common.errors import DataLossError, StartupError, UnavailableError, VideosearchError
from services.common.media import Video
from services.common.stages import stage
from services.store import files, keys, records, salvage, schema
from services.store.damage import advice_on, damage, is_damage, moved, reason_of
from services.store.files import Witness
from services.store.keys import IMAGES, META, SCENES, VIDEOS
from services.store.records import MALFORMED, Contents, Staged
from services.store.scenes import Halves, Images, IndexedVideo, SceneTable
from services.store.schema import CHANGES_KEYS, CONTENTS_KEYS

T = TypeVar("T")

STAGED_KEY = META + b"staged"

DAMAGE = (
    "the database's files are damaged ({}): the newest changes may be lost, and videos be as they were before those"
)

MAX_OPEN_FILES = 74
"""The fewest that LevelDB takes. It maps them into memory, 2 MB each: else the whole database would stay there."""

ROOM_TO_REOPEN_BYTES = 64 << 20
"""Beside the size of its logs: LevelDB writes what they hold into tables when it is opened."""


class Database:
    """Reads may come from any thread, writes from one at a time. Damage is a DataLossError that names the record."""

    def __init__(self, folder: Path) -> None:
        """Open the database, or make one; StartupError if the folder holds none that this version can use."""
        self._folder = folder
        self._handle = threading.Lock()  # held while the database is used for reading, or closed and opened again
        self._witness = Witness(folder)
        self.damage = ""
        """What is wrong with the files as a whole: then nothing may be written."""
        self._db: plyvel.DB
        self.changes = 0
        """How many there have been, over all the years."""
        self.failed = False
        """Whether a write has failed, so that `reopen` must come before the next."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as opened:
                opened.enter_context(files.locked(folder))
                self._open_what_is_readable()
                self._opened = opened.pop_all()
        except (plyvel.Error, VideosearchError, StartupError, OSError, *MALFORMED) as error:
            raise StartupError(f"data folder {folder}: {advice_on(error)}{reason_of(error)}") from error

    def close(self) -> None:
        """Opened once more, LevelDB moves its log to a table: what damage there may hide is known, record by record."""
        with self._handle, self._opened:
            self._db.close()
            if not self.damage:
                with contextlib.suppress(plyvel.Error):
                    plyvel.DB(str(self._folder), paranoid_checks=True).close()
            shutil.rmtree(self._folder / files.SALVAGED, ignore_errors=True)

    def reopen(self) -> None:
        """Make the database usable after a failed write; what that write left behind may turn out to be stored.

        LevelDB appends behind a torn record of its log, and would drop those later writes when it reads the log again
        (https://github.com/google/leveldb/pull/578); opened anew, it begins a new log.
        """
        free = shutil.disk_usage(self._folder).free
        needed = ROOM_TO_REOPEN_BYTES + files.size_bytes(self._folder, "*.log")
        if free < needed:
            raise DataLossError(
                f"the store's disk is full ({free >> 20} MiB free): free some space and try again; it needs"
                f" {needed >> 20} MiB"
            )
        with self._handle:
            self._db.close()
            try:
                self._open()
            except plyvel.Error as error:
                raise DataLossError(f"the database cannot be opened again ({reason_of(error)})") from error
        self.failed = False

    def contents(self) -> Contents:
        """What was written last, all in all."""
        with damage("the record of the store's contents"):
            data = self._using(lambda: schema.get(self._db, CONTENTS_KEYS))
            return Contents() if data is None else records.decode_contents(data)

    def video_ids(self) -> list[str]:
        """Of all videos of which there is a trace, in order, however damaged their records are."""
        with damage("the index of videos"):
            return sorted({keys.unpack_video(key) for prefix in (VIDEOS, SCENES) for key in self.keys(prefix)})

    def indexed(self, video_id: str, contents: Contents) -> IndexedVideo:
        """A video with its scenes and embeddings, without images."""
        with damage(f"the record of video {video_id!r}"):
            video = records.decode_video(self._there(VIDEOS + keys.pack_video(video_id)))
            if video.video_id != video_id:
                raise ValueError(f"it is that of {video.video_id!r}")
        scenes = self.scenes(video_id)
        with damage(f"the embeddings of video {video_id!r}"):
            if len(scenes) != video.scene_count:
                raise ValueError(f"there are {len(scenes)} scenes where {video.scene_count} were written")
            return IndexedVideo(replace(video, model=contents.model), scenes, self._embeddings(video, scenes, contents))

    def scenes(self, video_id: str) -> SceneTable:
        """Of a video that is there."""
        with damage(f"the scenes of video {video_id!r}"):
            return records.decode_scenes(self._there(SCENES + keys.pack_video(video_id)))

    def images(self, video_id: str, ordinal: int) -> Images:
        """Of the samples of a scene that is there; empty if it has none."""
        with damage(f"the images of scene {ordinal} of video {video_id!r}"):
            data = self.get(IMAGES + keys.pack_scene(video_id, ordinal))
            return () if data is None else records.decode_images(data)

    def staged(self) -> Staged | None:
        """What is kept beside the embeddings that are searched."""
        with damage("the record of the embeddings that are kept for another model"):
            data = self.get(STAGED_KEY)
            return None if data is None else records.decode_staged(data)

    def put(self, indexed: IndexedVideo, contents: Contents) -> None:
        """Store a video, in place of the one under its id."""
        video_id = indexed.video.video_id
        with self.batch(f"video {video_id!r} was not stored") as batch:
            self._erase(batch, video_id, contents)
            batch.put(VIDEOS + keys.pack_video(video_id), records.encode_video(indexed.video))
            batch.put(SCENES + keys.pack_video(video_id), records.encode_scenes(indexed.scenes))
            put_embeddings(batch, video_id, indexed.scenes, indexed.embeddings, contents.generation)
            for ordinal, images in indexed.images.items():
                batch.put(IMAGES + keys.pack_scene(video_id, ordinal), records.encode_images(images))
            schema.put(batch, CONTENTS_KEYS, records.encode_contents(contents))

    def update(self, video: Video) -> None:
        """Write the record of a video that is there."""
        with self.batch(f"video {video.video_id!r} was not changed") as batch:
            batch.put(VIDEOS + keys.pack_video(video.video_id), records.encode_video(video))

    def delete(self, video_id: str, contents: Contents) -> None:
        with self.batch(f"video {video_id!r} was not deleted") as batch:
            self._erase(batch, video_id, contents)
            schema.put(batch, CONTENTS_KEYS, records.encode_contents(contents))

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """All of them as they are at the first, whatever is written meanwhile."""
        with (
            damage("the database"),
            self._using(lambda: self._db.iterator(verify_checksums=True, fill_cache=False)) as rows,
        ):
            while row := self._using(lambda: _next(rows)):
                yield row

    def keys(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        """What follows the prefix, in order from `start` on, past damaged parts: reading the records tells of those."""
        with closing(self._db.raw_iterator(verify_checksums=True, fill_cache=False)) as rows:
            step = partial(rows.seek, prefix + start)
            while moved(rows, step) and rows.key().startswith(prefix):
                yield rows.key()[len(prefix) :]
                step = rows.next

    def free(self, start: bytes, stop: bytes) -> None:
        """Give back the room of what was removed between two keys; LevelDB does so late by itself."""
        self._db.compact_range(start=start, stop=stop)

    def size_bytes(self) -> int:
        return files.size_bytes(self._folder)

    def _open_what_is_readable(self) -> None:
        try:
            self._open()
        except DataLossError as error:
            reason, listed = str(error), False
        except plyvel.Error as error:
            if not is_damage(error):
                raise
            reason, listed = reason_of(error), True
        else:
            lost = self._witness.read() - self.changes
            if lost > 0:
                self.damage = DAMAGE.format(f"they lack {lost} changes")
            else:
                self._witness.write(self.changes)
            return
        self._db = salvage.readable(self._folder, self._folder / files.SALVAGED, listed=listed)
        self.damage = DAMAGE.format(reason)
        self._prepare()

    def _open(self) -> None:
        """In place; only an empty folder becomes a new database."""
        if files.list_is_torn(self._folder):
            raise DataLossError("the list of them is torn")
        new = files.is_empty(self._folder)
        self._db = plyvel.DB(
            str(self._folder), create_if_missing=new, paranoid_checks=True, max_open_files=MAX_OPEN_FILES
        )
        self._prepare()

    def _prepare(self) -> None:
        try:
            schema.prepare(self._db)
            self.changes = int(schema.get(self._db, CHANGES_KEYS) or 0)
        except (plyvel.Error, StartupError, DataLossError, *MALFORMED):
            self._db.close()
            raise

    def _using(self, read: Callable[[], T]) -> T:
        with self._handle:
            if self._db.closed:
                raise DataLossError(
                    "the database could not be opened again after a failed write: see to the store's disk"
                )
            return read()

    def get(self, key: bytes) -> bytes | None:
        data: bytes | None = self._using(lambda: self._db.get(key, verify_checksums=True))
        return data

    def _there(self, key: bytes) -> bytes:
        data = self.get(key)
        if data is None:
            raise ValueError("it is missing")
        return data

    def _embeddings(self, video: Video, scenes: SceneTable, contents: Contents) -> Halves:
        prefix = keys.embeddings(contents.generation)
        start, stop = (prefix + keys.pack_scene(video.video_id, ordinal) for ordinal in (0, len(scenes)))
        try:
            with self._db.iterator(
                start=start, stop=stop, include_key=False, verify_checksums=True, fill_cache=False
            ) as values:
                data = b"".join(values)
        except plyvel.Error:  # perhaps in the next video's records, which the iterator reads ahead
            ordinals = range(len(scenes))
            data = b"".join(self._there(prefix + keys.pack_scene(video.video_id, ordinal)) for ordinal in ordinals)
        return records.decode_embeddings(data, int(scenes.sample_counts.sum()), contents.dimension)

    def _erase(self, batch: "plyvel.WriteBatch", video_id: str, contents: Contents) -> None:
        """All that there is of a video, other models' embeddings too."""
        staged = self.staged()
        generations = {contents.generation, staged.generation if staged else contents.generation}
        batch.delete(VIDEOS + keys.pack_video(video_id))
        batch.delete(SCENES + keys.pack_video(video_id))
        for prefix in (IMAGES, *map(keys.embeddings, generations)):
            of_video = prefix + keys.pack_scenes(video_id)
            for key in self.keys(of_video):
                batch.delete(of_video + key)

    @contextlib.contextmanager
    def batch(self, consequence: str) -> Iterator["plyvel.WriteBatch"]:
        """What is put in here is written at once, or not at all, and on the disk when the context ends."""
        changes = self.changes + 1
        try:
            with stage("commit"), self._db.write_batch(transaction=True, sync=True) as batch:
                yield batch
                schema.put(batch, CHANGES_KEYS, b"%d" % changes)
        except plyvel.Error as error:
            self.failed = True
            if is_damage(error):  # met by a compaction, which moves what nobody has read for long
                self.damage = DAMAGE.format(reason_of(error))
            advice = "see to its disk's space and health, then try again"
            raise DataLossError(
                f"{consequence}: the database cannot be written; {advice} ({reason_of(error)})"
            ) from error
        self.changes = changes
        self._witness.write(changes)


def put_embeddings(
    batch: "plyvel.WriteBatch", video_id: str, scenes: SceneTable, embeddings: Halves, generation: int
) -> None:
    """A record for each scene; `embeddings` is (N, D), scene after scene."""
    first, prefix = 0, keys.embeddings(generation)
    for ordinal, count in enumerate(scenes.sample_counts.tolist()):
        record = records.encode_embeddings(embeddings[first : first + count])
        batch.put(prefix + keys.pack_scene(video_id, ordinal), record)
        first += count


def _next(rows: "plyvel.Iterator") -> tuple[bytes, bytes] | None:
    try:
        row: tuple[bytes, bytes] | None = next(rows, None)
    except RuntimeError as error:
        raise UnavailableError("the database was opened anew after a failed write; try again") from error
    return row
