"""What queries answer: their parts become one vector, by which scenes, videos and moments are ranked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from services.common.errors import InvalidInputError, VideosearchError
from services.common.media import SceneHit, TimelinePoint, Vector, VideoFilter, VideoHit
from services.common.ranking import FilteredCounts, Query, RankedScenes, RankedVideos, SceneRanking, VideoRanking
from services.common.stages import stage
from services.store import cursors
from services.store.asked import Asked, R_co
from services.store.blocks import Packed
from services.store.columns import EPOCH
from services.store.cursors import Cursor
from services.store.filters import selected
from services.store.index import Index
from services.store.pages import Page
from services.store.parts import named, vector_of
from services.store.scene_ranking import find_scenes as ranked_scenes
from services.store.video_ranking import find_videos as ranked_videos

H = TypeVar("H", SceneHit, VideoHit)


@dataclass(frozen=True, slots=True, eq=False)
class Found(Generic[H]):
    """What was found, and how the ranking goes on behind any of it."""

    asked: Asked[SceneRanking]
    digest: bytes
    page: Page[H]

    @property
    def hits(self) -> tuple[H, ...]:
        return self.page.hits

    def giving(self, hits: tuple[H, ...]) -> "Found[H]":
        """With these instead: the same, or the first of them, with thumbnails."""
        return replace(self, page=self.page.giving(hits))

    def cursor(self, score: float, video_id: str, ordinal: int) -> str:
        """Behind the hit of that score and place, the last; empty at the end of the ranking."""
        if not self.page.more:
            return ""
        newest = self.asked.after.newest if self.asked.after else self.asked.index.newest or EPOCH
        return cursors.encode(Cursor(score, video_id, ordinal, self.page.best, newest), self.digest)

    @property
    def filtered(self) -> FilteredCounts:
        asked = self.asked
        index, chosen = asked.index, asked.chosen
        videos = selected(index, VideoFilter(), asked.after.newest) if asked.after else index.alive
        return FilteredCounts(
            video_count=int(np.count_nonzero(videos)) - int(np.count_nonzero(chosen.videos)),
            scene_count=chosen.left_out_count(index),
            low_score_count=self.page.low_score_count,
            duplicate_count=self.page.duplicate_count,
        )


def find_scenes(index: Index, query: Query, ranking: SceneRanking) -> Found[SceneHit]:
    asked, digest = _asked(index, query, ranking)
    with stage("rank"):
        return Found(asked, digest, ranked_scenes(asked))


def find_videos(index: Index, query: Query, ranking: VideoRanking) -> Found[VideoHit]:
    """InvalidInputError for a cursor with diversity."""
    if ranking.diversity and ranking.cursor:
        raise InvalidInputError(
            "cursor is set, but a ranking with diversity has no further pages: ask for more videos, without a cursor"
        )
    asked, digest = _asked(index, query, ranking)
    with stage("rank"):
        return Found(asked, digest, ranked_videos(asked))


def scenes_answer(found: Found[SceneHit]) -> RankedScenes:
    hits, index = found.hits, found.asked.index
    videos = tuple(index.found(video_id) for video_id in dict.fromkeys(hit.video_id for hit in hits))
    cursor = found.cursor(hits[-1].score, hits[-1].video_id, hits[-1].ordinal) if hits else ""
    return RankedScenes(hits, videos, cursor, found.filtered)


def videos_answer(found: Found[VideoHit], *, diversity: float) -> RankedVideos:
    hits = found.hits
    cursor = found.cursor(hits[-1].score, hits[-1].video.video_id, 0) if hits and not diversity else ""
    return RankedVideos(hits, cursor, found.filtered)


def _asked(index: Index, query: Query, ranking: R_co) -> tuple[Asked[R_co], bytes]:  # type: ignore[misc]  # as in Asked.of
    """And the digest that its cursors have."""
    vector = resolve(index, query)
    digest = cursors.digest(vector, ranking, query)
    after = cursors.decode(ranking.cursor, digest)
    with stage("choose"):
        return Asked.of(index, vector, ranking, after, named(index, query, ranking)), digest


def timeline(index: Index, video_id: str, query: Query) -> tuple[TimelinePoint, ...]:
    """In order of time."""
    number, rows = index.number(video_id), index.rows
    first, stop = index.bounds[number], index.bounds[number + 1]
    samples = slice(rows.bounds[first], rows.bounds[stop])
    scores = rows.vectors.similarities(Packed(resolve(index, query)), samples.start, samples.stop)  # (n,)
    ordinals = np.repeat(np.arange(stop - first), np.diff(rows.bounds[first : stop + 1]))  # (n,)
    columns = (rows.offsets_ns[samples], ordinals, scores)
    return tuple(map(TimelinePoint, *(column.tolist() for column in columns)))


def resolve(index: Index, query: Query) -> Vector:
    """The sum of the parts' unit vectors times their weights, over the sum of the weights' absolute values.

    So its product with a sample's vector is the sample's score. PreconditionError for a part of another model.
    """
    matrix = np.stack(list(_vectors(index, query))).astype(np.float64)  # (P, D)
    weights = np.array([part.weight for part in query], dtype=np.float64)  # (P,)
    weights /= np.abs(weights).max()  # so that no sum overflows
    weights /= np.abs(weights).sum()
    vector: Vector = (weights[:, None] * matrix).sum(axis=0).astype(np.float32)
    return vector


def _vectors(index: Index, query: Query) -> Iterator[Vector]:
    """One a part, all of one length; what is wrong with one of several parts is said with its place."""
    dimension = 0
    for place, part in enumerate(query):
        try:
            vector = vector_of(index, part)
            if dimension not in {0, vector.size}:
                raise InvalidInputError(f"its embedding has {vector.size} components, those before {dimension}")
        except VideosearchError as error:
            raise type(error)(f"parts[{place}]: {error}" if len(query) > 1 else str(error)) from error
        dimension = vector.size
        yield vector
