"""The three indexes on disk: one LevelDB, one atomic and synced batch for each change."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import plyvel

from services.common.errors import DataLossError, StartupError
from services.common.media import Video
from services.store import keys, records
from services.store.records import Contents
from services.store.scenes import IndexedVideo, SceneTable

VIDEOS, SCENES, EMBEDDINGS, META = b"video/", b"scene/", b"embedding/", b"meta/"
"""Prefixes: video id -> video; video id -> its scenes; (video id, ordinal) -> embeddings of the scene's samples."""

SCHEMA_KEY, SCHEMA = b"schema", b"1"
CONTENTS_KEY = b"contents"

ROOM_TO_REOPEN_BYTES = 64 << 20
"""LevelDB writes what its log holds into a table when it is opened."""


class Database:
    """Reads may come from any thread, writes from one at a time. Damage is a DataLossError that names the record."""

    def __init__(self, folder: Path) -> None:
        """Open the database, or make one; StartupError if the folder holds none that this version can use."""
        self._folder = folder
        self._handle = threading.Lock()  # held while the database is used for reading, or closed and opened again
        self._open()
        self.failed = False
        """Whether a write has failed, so that `reopen` must come before the next."""

    def close(self) -> None:
        with self._handle:
            self._db.close()

    def reopen(self) -> None:
        """Make the database usable after a failed write; what that write left behind may turn out to be stored.

        LevelDB appends behind a torn record of its log, and would drop those later writes when it reads the log again
        (https://github.com/google/leveldb/pull/578); opened anew, it begins a new log.
        """
        free = shutil.disk_usage(self._folder).free
        if free < ROOM_TO_REOPEN_BYTES:
            raise DataLossError(f"the store's disk is full ({free >> 20} MiB free): free some space and try again")
        with self._handle:
            self._db.close()
            try:
                self._open()
            except StartupError as error:
                raise DataLossError(str(error)) from error
        self.failed = False

    def contents(self) -> Contents:
        """What was written last, all in all."""
        with _damage("the record of the store's contents"):
            data = self._get(META + CONTENTS_KEY)
            return Contents() if data is None else records.decode_contents(data)

    def videos(self) -> Iterator[IndexedVideo]:
        """All there is, in the order of the ids.

        An iterator of LevelDB ends early, without a word, at some kinds of damage: compare with `contents`.
        """
        dimension = self.contents().dimension
        for key, value in self._video_rows():
            with _damage(f"the record of video {key.decode(errors='replace')!r}"):
                video = records.decode_video(value)
                if keys.unpack_video(key) != video.video_id:
                    raise ValueError(f"it is that of {video.video_id!r}")
            yield self._indexed(video, dimension)

    def scenes(self, video_id: str) -> SceneTable | None:
        with _damage(f"the scenes of video {video_id!r}"):
            data = self._get(SCENES + keys.pack_video(video_id))
            return None if data is None else records.decode_scenes(data)

    def put(self, indexed: IndexedVideo, old_scene_count: int, contents: Contents) -> None:
        """Store a video in place of the one under its id, which had so many scenes."""
        video_id = indexed.video.video_id
        with self._batch(f"video {video_id!r} was not stored") as batch:
            batch.put(VIDEOS + keys.pack_video(video_id), records.encode_video(indexed.video))
            batch.put(SCENES + keys.pack_video(video_id), records.encode_scenes(indexed.scenes))
            first = 0
            for ordinal, count in enumerate(indexed.scenes.sample_counts.tolist()):
                embeddings = indexed.embeddings[first : first + count]
                batch.put(EMBEDDINGS + keys.pack_scene(video_id, ordinal), records.encode_embeddings(embeddings))
                first += count
            for ordinal in range(len(indexed.scenes), old_scene_count):
                batch.delete(EMBEDDINGS + keys.pack_scene(video_id, ordinal))
            batch.put(META + CONTENTS_KEY, records.encode_contents(contents))

    def update(self, video: Video) -> None:
        """Write the record of a video that is there."""
        with self._batch(f"video {video.video_id!r} was not changed") as batch:
            batch.put(VIDEOS + keys.pack_video(video.video_id), records.encode_video(video))

    def delete(self, video: Video, contents: Contents) -> None:
        with self._batch(f"video {video.video_id!r} was not deleted") as batch:
            batch.delete(VIDEOS + keys.pack_video(video.video_id))
            batch.delete(SCENES + keys.pack_video(video.video_id))
            for ordinal in range(video.scene_count):
                batch.delete(EMBEDDINGS + keys.pack_scene(video.video_id, ordinal))
            batch.put(META + CONTENTS_KEY, records.encode_contents(contents))

    def size_bytes(self) -> int:
        total = 0
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # LevelDB removes files that it no longer needs
                total += path.stat().st_size
        return total

    def _open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._db = plyvel.DB(str(self._folder), create_if_missing=True, paranoid_checks=True)
            self._check_schema()
        except (plyvel.Error, OSError) as error:
            raise StartupError(f"data folder {self._folder}: {_advice(error)} ({_text(error)})") from error
        self._videos = self._db.prefixed_db(VIDEOS)
        self._embeddings = self._db.prefixed_db(EMBEDDINGS)

    def _check_schema(self) -> None:
        schema = self._db.get(META + SCHEMA_KEY, verify_checksums=True)
        if schema is None and next(self._db.iterator(include_value=False), None) is None:
            self._db.put(META + SCHEMA_KEY, SCHEMA, sync=True)
        elif schema != SCHEMA:
            self._db.close()
            raise StartupError(
                f"data folder {self._folder} has schema {(schema or b'none').decode(errors='replace')}, and this store"
                f" reads schema {SCHEMA.decode()}: run the version that wrote it, or set an empty folder and index the"
                " videos again"
            )

    def _get(self, key: bytes) -> bytes | None:
        with self._handle:
            if self._db.closed:
                raise DataLossError(
                    "the database could not be opened again after a failed write: see to the store's disk"
                )
            data: bytes | None = self._db.get(key, verify_checksums=True)
            return data

    def _video_rows(self) -> Iterator[tuple[bytes, bytes]]:
        with _damage("the index of videos"):
            yield from self._videos.iterator(verify_checksums=True, fill_cache=False)

    def _indexed(self, video: Video, dimension: int) -> IndexedVideo:
        scenes = self.scenes(video.video_id)
        with _damage(f"the embeddings of video {video.video_id!r}"):
            if scenes is None or len(scenes) != video.scene_count:
                raise ValueError("its scenes are not all there")
            start, stop = (keys.pack_scene(video.video_id, ordinal) for ordinal in (0, len(scenes)))
            with self._embeddings.iterator(
                start=start, stop=stop, include_key=False, verify_checksums=True, fill_cache=False
            ) as values:
                data = b"".join(values)
            return IndexedVideo(
                video, scenes, records.decode_embeddings(data, int(scenes.sample_counts.sum()), dimension)
            )

    @contextlib.contextmanager
    def _batch(self, consequence: str) -> Iterator["plyvel.WriteBatch"]:
        try:
            with self._db.write_batch(transaction=True, sync=True) as batch:
                yield batch
        except plyvel.Error as error:
            self.failed = True
            advice = "see to its disk's space and health, then try again"
            raise DataLossError(f"{consequence}: the database cannot be written; {advice} ({_text(error)})") from error


@contextlib.contextmanager
def _damage(record: str) -> Iterator[None]:
    try:
        yield
    except (plyvel.Error, *records.MALFORMED) as error:
        raise DataLossError(
            f"{record} cannot be read; put back a copy of the data folder, or index into an empty one ({_text(error)})"
        ) from error


def _advice(error: Exception) -> str:
    text = _text(error)
    if "/LOCK" in text and ("already held" in text or "unavailable" in text):
        return "another process has it open; stop that one, or set another folder"
    if isinstance(error, plyvel.CorruptionError):
        return "the database is damaged; put back a copy of the folder, or index into an empty one"
    return "cannot be opened; is it a folder that the service may write?"


def _text(error: Exception) -> str:
    """LevelDB's messages come as bytes."""
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(error)
