"""Which videos the approximate index has, and under which ids: the link between it and a picture of the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.common.media import Video
from services.store.approximate import Approximate
from services.store.scenes import Int64


@dataclass(frozen=True, slots=True)
class Entry:
    """A video whose scenes have the next so many ids of the approximate index, in their order."""

    video_id: str
    index_time: datetime | None
    """Tells it from what is put under its id later."""
    scene_count: int

    @classmethod
    def of(cls, video: Video) -> Self:
        return cls(video.video_id, video.index_time, video.scene_count)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The approximate index with what it has."""

    approximate: Approximate
    model: str
    """Fingerprint of the model of all its vectors."""
    trained_samples: int
    """How many the store had when it was made."""
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Accelerated:
    approximate: Approximate
    starts: Int64  # (T + 1,): entry t has the ids starts[t] to starts[t + 1]; later ids are not of this picture
    videos: Int64  # (T,): number of the entry's video, or -1 if that is there no longer

    @classmethod
    def of(cls, kept: Kept, numbers: Mapping[str, int], videos: Sequence[Video]) -> Self:
        """As far as the entries still are what the numbers say."""
        counts = np.array([entry.scene_count for entry in kept.entries], dtype=np.int64)
        found = np.array([_number(entry, numbers, videos) for entry in kept.entries], dtype=np.int64)
        return cls(kept.approximate, np.concatenate(([0], np.cumsum(counts))), found)

    def renumbered(self, numbers: Int64) -> Self:
        """The same after video n has become numbers[n], -1 if it is gone."""
        return replace(self, videos=np.where(self.videos < 0, -1, numbers[self.videos]))

    def covered(self, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(V,): which of the living are in the approximate index."""
        covered = np.zeros_like(alive)
        covered[self.videos[self.videos >= 0]] = True
        return covered & alive

    def scenes(self, ids: Int64, bounds: Int64) -> Int64:
        """The scenes that have the ids; -1 for none of this picture."""
        entries = np.searchsorted(self.starts, ids, side="right") - 1
        known = entries < len(self.videos)
        entries[~known] = 0
        videos = self.videos[entries]
        return np.where(known & (videos >= 0), bounds[videos] + ids - self.starts[entries], -1)

    def allowed(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """By id: whether its video is among the chosen ones, (V,); None if all are."""
        members = chosen[self.videos] & (self.videos >= 0)
        return None if members.all() else np.repeat(members, np.diff(self.starts))


def _number(entry: Entry, numbers: Mapping[str, int], videos: Sequence[Video]) -> int:
    number = numbers.get(entry.video_id, -1)
    return number if number >= 0 and Entry.of(videos[number]) == entry else -1
