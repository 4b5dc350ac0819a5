"""The store's domain: what is kept on disk, and the same in memory for search."""

import heapq
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from services.common.errors import DataLossError, InvalidInputError, NotFoundError, PreconditionError
from services.common.media import Scene, StoreStats, Vector, Video
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking
from services.store import ranking as rankings
from services.store.database import Database
from services.store.index import Index
from services.store.records import Contents
from services.store.scenes import IndexedVideo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Put:
    video: Video
    replaced: bool


class Catalog:
    """Methods block; any thread may call them. A change is on disk before it is seen, and seen when it returns."""

    def __init__(self, folder: Path) -> None:
        """Open the folder's database, or make one; StartupError if it is of no use, DataLossError if it is damaged."""
        self._writing = threading.Lock()
        self._stale = False  # whether the disk may hold something else than the index, because a write has failed
        self._database = Database(folder)
        try:
            self._index = self._load()
        except DataLossError:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing:
            self._database.close()

    def put(self, indexed: IndexedVideo) -> Put:
        """Store a video whole, in place of what was there under its id."""
        with self._writing:
            index = self._sound_index()
            old = index.video(indexed.video.video_id)
            others = index.without(old.video_id) if old else index
            _check_space(others.contents, indexed.video.model, indexed.embeddings.shape[1])
            following = others.with_video(indexed)
            self._database.put(indexed, old.scene_count if old else 0, following.contents)
            self._index = following
        return Put(indexed.video, replaced=old is not None)

    def update(self, video_id: str, changes: Mapping[str, Any]) -> Video:
        """Change fields that say something of a video; what was found in it stays."""
        with self._writing:
            index = self._sound_index()
            video = replace(_found(index, video_id), **changes)
            self._database.update(video)
            self._index = index.with_changed(video)
        return video

    def delete(self, video_id: str) -> None:
        with self._writing:
            index = self._sound_index()
            video = _found(index, video_id)
            following = index.without(video_id)
            self._database.delete(video, following.contents)
            self._index = following

    def video(self, video_id: str) -> Video:
        return _found(self._index, video_id)

    def videos(self, after: str, limit: int) -> tuple[tuple[Video, ...], bool]:
        """In the order of their ids, from the first one after `after`; and whether there are more."""
        index = self._index
        ids = heapq.nsmallest(limit + 1, (video_id for video_id in index.numbers if video_id > after))
        return tuple(_found(index, video_id) for video_id in ids[:limit]), len(ids) > limit

    def scenes(self, video_id: str, first: int, limit: int) -> tuple[tuple[Scene, ...], bool]:
        """In order of time, from the ordinal `first` on, without vectors; and whether there are more."""
        scenes = self._database.scenes(video_id)
        if scenes is None:
            raise _no_video(video_id)
        return scenes.part(first, first + limit), first + limit < len(scenes)

    def find_scenes(self, query: Vector, model: str, ranking: SceneRanking) -> RankedScenes:
        index = self._index
        _check_space(index.contents, model, query.size)
        hits = rankings.find_scenes(index, query, ranking)
        ids = dict.fromkeys(hit.video_id for hit in hits)
        return RankedScenes(hits, tuple(_found(index, video_id) for video_id in ids))

    def find_videos(self, query: Vector, model: str, ranking: VideoRanking) -> RankedVideos:
        index = self._index
        _check_space(index.contents, model, query.size)
        return RankedVideos(rankings.find_videos(index, query, ranking))

    def stats(self) -> StoreStats:
        return StoreStats(**asdict(self._index.contents), disk_size_bytes=self._database.size_bytes())

    def _sound_index(self) -> Index:
        """What the next change starts from; after a failed write that is what the disk says."""
        if self._database.failed:
            self._stale = True
            self._database.reopen()
        if self._stale:
            self._index = self._load()
            self._stale = False
        return self._index

    def _load(self) -> Index:
        contents = self._database.contents()
        index = Index.of(contents, self._database.videos())
        if index.contents != contents:
            raise DataLossError(
                f"the database holds {index.contents} where {contents} was written: records are missing;"
                " put back a copy of the data folder, or index into an empty one"
            )
        log.info("vectors loaded", extra={"videos": contents.video_count, "samples": contents.sample_count})
        return index


def _check_space(contents: Contents, model: str, dimension: int) -> None:
    """Only embeddings of the store's model compare; while the store is empty it has none."""
    if not contents.video_count:
        return
    if model != contents.model:
        raise PreconditionError(
            f"the store holds embeddings of model {contents.model} (dimension {contents.dimension}) and was given one"
            f" of model {model} (dimension {dimension}): serve {contents.model} again, or index the videos anew after"
            " deleting them all, or into an empty data folder"
        )
    if dimension != contents.dimension:
        raise InvalidInputError(f"an embedding of model {model} has {contents.dimension} components; got {dimension}")


def _found(index: Index, video_id: str) -> Video:
    video = index.video(video_id)
    if video is None:
        raise _no_video(video_id)
    return video


def _no_video(video_id: str) -> NotFoundError:
    return NotFoundError(f"no video {video_id!r}: see which there are with ListVideos (videosearch videos list)")
