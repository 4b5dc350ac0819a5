"""What the store holds, in memory: an immutable picture of it, from which each write makes the next one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.common.errors import NotFoundError
from services.common.media import Video
from services.store.accelerated import Accelerated, Kept
from services.store.columns import Columns
from services.store.records import Contents
from services.store.rows import Rows, stretches
from services.store.scenes import IndexedVideo, Int64


@dataclass(frozen=True, eq=False)
class Index:
    """Videos have numbers, in the order in which they came; that of a replaced or deleted one is dead.

    Dead rows stay, and are passed over, until they are the greater part. Readers keep the picture that they have; the
    next one may be made only from the newest, by one writer at a time.
    """

    contents: Contents = Contents()
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Of the living, by video id."""
    videos: Sequence[Video] = ()
    """By number, dead ones too."""
    alive: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))  # (V,)
    bounds: Int64 = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    """(V + 1,): video v has the scenes bounds[v] to bounds[v + 1] of the rows."""
    rows: Rows = field(default_factory=lambda: Rows.empty(0))
    accelerated: Accelerated | None = None
    """The approximate index, if there is one for these rows."""
    newest: datetime | None = None
    """When the last video was stored; it may be gone."""

    @classmethod
    def of(cls, contents: Contents, videos: Iterable[IndexedVideo]) -> "Index":
        """An index of these videos, with room for what `contents` announces."""
        rows = Rows.empty(contents.dimension, contents.scene_count, contents.sample_count)
        return _extended(cls(Contents(generation=contents.generation), rows=rows), videos)

    def with_video(self, indexed: IndexedVideo) -> "Index":
        """The next index: this one and one more video, in place of what had its id."""
        video_id = indexed.video.video_id
        rest = self.without(video_id) if video_id in self.numbers else self
        if not rest.numbers:
            rest = replace(rest, rows=Rows.empty(indexed.embeddings.shape[1]))
        return _extended(rest, [indexed])

    def with_changed(self, video: Video) -> "Index":
        """The next index: other things are said of a video that it holds."""
        videos = list(self.videos)
        videos[self.numbers[video.video_id]] = video
        return replace(self, videos=videos)

    def without(self, video_id: str) -> "Index":
        """The next index: this one less one video."""
        number = self.numbers[video_id]
        first, stop = self.bounds[number], self.bounds[number + 1]
        contents = replace(
            self.contents,
            video_count=self.contents.video_count - 1,
            scene_count=self.contents.scene_count - int(stop - first),
            sample_count=self.contents.sample_count - int(self.rows.bounds[stop] - self.rows.bounds[first]),
        )
        if not contents.video_count:
            return Index(Contents(generation=self.contents.generation))
        numbers = {other: n for other, n in self.numbers.items() if n != number}
        alive = self.alive.copy()
        alive[number] = False
        rest = replace(self, contents=contents, numbers=numbers, alive=alive)
        return _compacted(rest) if len(self.rows) > 2 * contents.sample_count else rest

    def video(self, video_id: str) -> Video | None:
        number = self.numbers.get(video_id)
        return None if number is None else self.videos[number]

    def found(self, video_id: str) -> Video:
        """NotFoundError if there is none of that id."""
        return self.videos[self.number(video_id)]

    def number(self, video_id: str) -> int:
        """NotFoundError if there is none of that id."""
        number = self.numbers.get(video_id)
        if number is None:
            raise no_video(video_id)
        return number

    @cached_property
    def columns(self) -> Columns:
        """What filters ask of the videos."""
        return Columns(self.videos)

    def with_accelerated(self, kept: Kept | None) -> "Index":
        """The next index: this one with what the approximate index has of its videos, or without one."""
        if kept is None:
            return replace(self, accelerated=None)
        if kept.model != self.contents.model:
            return self
        return replace(self, accelerated=Accelerated.of(kept, self.numbers, self.videos))

    @property
    def approximate_sample_count(self) -> int:
        """How many of the living samples are in the approximate index."""
        if not self.accelerated:
            return 0
        return int(self.sample_counts[self.accelerated.covered(self.alive)].sum())

    def scenes(self, numbers: Int64) -> Int64:
        """Those of the videos, in the order of their numbers."""
        return stretches(self.bounds[numbers], self.bounds[numbers + 1] - self.bounds[numbers])

    @property
    def sample_counts(self) -> Int64:
        """(V,)."""
        counts: Int64 = np.diff(self.rows.bounds[self.bounds])
        return counts


def no_video(video_id: str) -> NotFoundError:
    return NotFoundError(f"no video {video_id!r}: see which there are with ListVideos (videosearch videos list)")


def _extended(index: Index, videos: Iterable[IndexedVideo]) -> Index:
    contents, rows = index.contents, index.rows
    newest = index.newest
    numbers, by_number, scene_counts = dict(index.numbers), list(index.videos), list[int]()
    for indexed in videos:
        numbers[indexed.video.video_id] = len(by_number)
        rows = rows.extended(indexed, len(by_number))
        by_number.append(indexed.video)
        scene_counts.append(len(indexed.scenes))
        newest = max(filter(None, (newest, indexed.video.index_time)), default=None)
        contents = Contents(
            indexed.video.model,
            indexed.embeddings.shape[1],
            contents.video_count + 1,
            contents.scene_count + len(indexed.scenes),
            contents.sample_count + len(indexed.embeddings),
            contents.generation,
        )
    alive = np.concatenate((index.alive, np.ones(len(scene_counts), dtype=np.bool_)))
    bounds = np.concatenate((index.bounds, index.bounds[-1] + np.cumsum(scene_counts, dtype=np.int64)))
    return Index(contents, numbers, by_number, alive, bounds, rows, index.accelerated, newest)


def _compacted(index: Index) -> Index:
    scene_counts = np.diff(index.bounds)[index.alive]
    videos = [index.videos[number] for number in np.flatnonzero(index.alive).tolist()]
    return replace(
        index,
        numbers={video.video_id: number for number, video in enumerate(videos)},
        videos=videos,
        alive=np.ones(len(videos), dtype=np.bool_),
        bounds=np.concatenate(([0], np.cumsum(scene_counts))),
        rows=index.rows.kept(index.alive),
        accelerated=index.accelerated and index.accelerated.renumbered(_places(index.alive)),
    )


def _places(kept: NDArray[np.bool_]) -> Int64:
    """What each becomes when only those are kept; -1 for the others."""
    return np.where(kept, np.cumsum(kept) - 1, -1)
