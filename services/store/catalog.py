"""The store's domain: what is kept on disk, and the same in memory for search."""

import heapq
import logging
import shutil
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Self

from services.common.errors import DataLossError, NotFoundError, UnavailableError
from services.common.media import Scene, SceneHit, StoreStats, Thumbnail, TimelinePoint, Video
from services.common.ranking import EmbeddingPart, Query, RankedScenes, RankedVideos, SceneRanking, VideoRanking
from services.store import backup, queries, saved, staging, thumbnails
from services.store.accelerated import Kept
from services.store.accelerator import Accelerator
from services.store.damage import Damage
from services.store.database import Database
from services.store.index import Index
from services.store.queries import Found, H
from services.store.records import Contents
from services.store.scenes import IndexedVideo
from services.store.spaces import check_space
from services.store.staging import EmbeddingsDraft, Sweeper

log = logging.getLogger(__name__)

READERS, READ_AHEAD = 2, 8
"""Threads that read videos at the start, and how many videos they are ahead: loading takes 60 % of the time."""


@dataclass(frozen=True, slots=True)
class Put:
    video: Video
    replaced: bool


class Catalog:
    """Methods block; any thread may call them. A change is on disk before it is seen, and seen when it returns."""

    def __init__(self, folder: Path) -> None:
        """Open the folder's database, or make one; StartupError if it is of no use.

        If it is damaged, what is not is served, but for writes.
        """
        self._folder = folder
        self._writing = threading.Lock()
        self._stale = False  # whether the disk may hold something else than the index, because a write has failed
        self._damage = Damage()
        self._database = Database(folder)
        self._index = self._load()
        self._accelerator = Accelerator(folder / saved.FILE_NAME, lambda: self._index, self._accelerate)
        self._accelerator.start()
        self._sweeper = Sweeper(self._database, self._writing, self._sound_index)
        if not self._damage.reason:
            self._sweeper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sweeper.stop()
        self._accelerator.stop()
        with self._writing:
            self._database.close()

    def put(self, indexed: IndexedVideo) -> Put:
        """Store a video whole, in place of what was there under its id."""
        with self._writing:
            index = self._sound_index()
            indexed = _later_than(index.newest, indexed)
            old = index.video(indexed.video.video_id)
            others = index.without(old.video_id) if old else index
            check_space(others.contents, indexed.video.model, indexed.embeddings.shape[1])
            following = others.with_video(indexed)
            self._database.put(indexed, following.contents)
            self._index = following
        self._accelerator.notice()
        return Put(indexed.video, replaced=old is not None)

    def update(self, video_id: str, changes: Mapping[str, Any]) -> Video:
        """Change fields that say something of a video; what was found in it stays."""
        with self._writing:
            index = self._sound_index()
            video = replace(index.found(video_id), **changes)
            self._database.update(video)
            self._index = index.with_changed(video)
        return video

    def delete(self, video_id: str) -> None:
        with self._writing:
            index = self._sound_index()
            index.found(video_id)
            following = index.without(video_id)
            self._database.delete(video_id, following.contents)
            self._index = following
        self._accelerator.notice()

    @property
    def index(self) -> Index:
        """The present picture of what is searched."""
        return self._index

    def video(self, video_id: str) -> Video:
        with self._reading(video_id):
            return self._index.found(video_id)

    def videos(self, after: str, limit: int) -> tuple[tuple[Video, ...], bool]:
        """In the order of their ids, from the first one after `after`; and whether there are more."""
        index = self._index
        ids = heapq.nsmallest(limit + 1, (video_id for video_id in index.numbers if video_id > after))
        return tuple(index.found(video_id) for video_id in ids[:limit]), len(ids) > limit

    def scenes(
        self, video_id: str, first: int, limit: int, *, with_images: bool = False
    ) -> tuple[tuple[Scene, ...], bool]:
        """In order of time, from the ordinal `first` on, without vectors; and whether there are more."""
        with self._reading(video_id):
            self._index.found(video_id)
            scenes, stop = self._database.scenes(video_id), first + limit
            if with_images:
                page = thumbnails.listed(self._database, video_id, scenes, first, stop)
            else:
                page = scenes.part(first, stop)
        return page, first + len(page) < len(scenes)

    def thumbnail(self, video_id: str, ordinal: int, offset_ns: int | None) -> Thumbnail:
        """See thumbnails.nearest."""
        with self._reading(video_id):
            self._index.found(video_id)
            scenes = self._database.scenes(video_id)
            return thumbnails.nearest(self._database, video_id, scenes, ordinal, offset_ns)

    def find_scenes(self, query: Query, ranking: SceneRanking) -> RankedScenes:
        with self._reading(*_named(query)):
            found = queries.find_scenes(self._index, query, ranking)
        return queries.scenes_answer(self._illustrated(found))

    def find_videos(self, query: Query, ranking: VideoRanking) -> RankedVideos:
        with self._reading(*_named(query)):
            found = queries.find_videos(self._index, query, ranking)
        return queries.videos_answer(self._illustrated(found), diversity=ranking.diversity)

    def timeline(self, video_id: str, query: Query) -> tuple[TimelinePoint, ...]:
        with self._reading(video_id, *_named(query)):
            return queries.timeline(self._index, video_id, query)

    def put_embeddings(self, draft: EmbeddingsDraft) -> None:
        """Keep another model's embeddings of a video beside those that are searched."""
        with self._writing:
            index = self._sound_index()
            staging.put(self._database, index.contents, index.found(draft.video_id), draft)
        if draft.discard:
            self._sweeper.start()

    def missing_embeddings(self, model: str, after: str, limit: int) -> tuple[tuple[Video, ...], bool]:
        """The videos of which there are none of the model, as in `videos`."""
        videos = tuple(islice(staging.missing(self._database, self._index, model, after), limit + 1))
        return videos[:limit], len(videos) > limit

    def switch_model(self, model: str) -> int:
        """Let the embeddings that are kept of a model be searched; returns of how many videos they are."""
        with self._writing:
            index = self._sound_index()
            if not index.contents.video_count or model == index.contents.model:
                return 0
            self._index = staging.switched(self._database, index, model)
        self._accelerator.notice()
        self._sweeper.start()
        return index.contents.video_count

    def backup(self) -> Iterator[bytes]:
        """Pieces of a backup of all that is there at the first one; DataLossError if anything is damaged."""
        self._damage.check_writable()
        return backup.written(self._database.records())

    def stats(self) -> StoreStats:
        index = self._index
        contents = index.contents
        return StoreStats(
            contents.video_count,
            contents.scene_count,
            contents.sample_count,
            contents.model,
            contents.dimension,
            disk_size_bytes=self._database.size_bytes(),
            approximate_sample_count=index.approximate_sample_count,
            read_only_reason=self._damage.reason,
            approximate_failure=self._accelerator.failure,
            vectors_size_bytes=index.rows.vectors.size_bytes,
            disk_free_bytes=shutil.disk_usage(self._folder).free,
        )

    def _illustrated(self, found: Found[H]) -> Found[H]:
        """What was found with thumbnails, if they were asked for; less of it if those are large."""
        index = found.asked.index

        def thumbnail_of(hit: SceneHit) -> bytes:
            """Empty too if the video has been deleted or put anew meanwhile."""
            with suppress(NotFoundError, UnavailableError), self._reading(hit.video_id, index=index):
                image = thumbnails.of_hit(self._database, index, hit)
                now = self._index.video(hit.video_id)
                if now and now.index_time == index.found(hit.video_id).index_time:
                    return image
            return b""

        if not found.asked.ranking.include_thumbnails:
            return found
        return found.giving(thumbnails.illustrated(found.hits, thumbnail_of))

    def _accelerate(self, kept: Kept | None) -> None:
        with self._writing:
            self._index = self._index.with_accelerated(kept)

    def _sound_index(self) -> Index:
        """What the next change starts from; after a failed write that is what the disk says."""
        self._note_damaged_files()
        self._damage.check_writable()
        if self._database.failed:
            self._stale = True
            self._database.reopen()
        if self._stale:
            self._index = self._load()
            self._stale = False
            self._damage.check_writable()
        return self._index

    def _load(self) -> Index:
        self._note_damaged_files()
        try:
            contents = self._database.contents()
            index = Index.of(contents, self._sound_videos(contents))
        except DataLossError as error:
            self._damage.note(str(error))
            return Index()
        missing = contents.video_count - index.contents.video_count - self._damage.video_count
        if missing or (index.contents != contents and not self._damage.video_count):
            self._damage.note(f"the database holds {index.contents} where {contents} was written")
        log.info("vectors loaded", extra={"videos": contents.video_count, "samples": contents.sample_count})
        return index

    def _note_damaged_files(self) -> None:
        if self._database.damage:
            self._damage.note(self._database.damage)

    def _sound_videos(self, contents: Contents) -> Iterator[IndexedVideo]:
        for video_id, reading in _read_ahead(self._database, contents):
            try:
                yield reading.result()
            except DataLossError as error:
                self._damage.note(str(error), video_id)

    @contextmanager
    def _reading(self, *video_ids: str, index: Index | None = None) -> Iterator[None]:
        """Tells what is damaged from what does not exist, or is not what it was in that picture of the store."""
        index = index or self._index
        try:
            yield
        except NotFoundError:
            for video_id in video_ids:
                if not index.video(video_id):
                    self._damage.check_readable(video_id)
            raise
        except DataLossError as error:
            with self._writing:  # what was read may have been deleted or replaced just then
                for video_id in video_ids:
                    if self._index.found(video_id) is not index.video(video_id):
                        raise UnavailableError(f"video {video_id!r} was changed meanwhile; try again") from error
                if not self._database.failed:
                    self._damage.note(str(error), *video_ids[:1])
            raise


def _read_ahead(database: Database, contents: Contents) -> Iterator[tuple[str, "Future[IndexedVideo]"]]:
    """All videos, in the order of their ids; some are being read while the first is put into the picture."""
    waiting: deque[tuple[str, Future[IndexedVideo]]] = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for video_id in database.video_ids():
            waiting.append((video_id, readers.submit(database.indexed, video_id, contents)))
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft()
        yield from waiting


def _named(query: Query) -> Iterator[str]:
    """The videos that a query's parts are of."""
    return (part.video_id for part in query if not isinstance(part, EmbeddingPart))


def _later_than(newest: datetime | None, indexed: IndexedVideo) -> IndexedVideo:
    """The video with the present time, or the next one that is not taken: each put has its own."""
    now = datetime.now(UTC)
    index_time = now if newest is None else max(now, newest + timedelta(microseconds=1))
    return replace(indexed, video=replace(indexed.video, index_time=index_time))
