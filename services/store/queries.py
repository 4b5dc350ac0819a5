"""What queries answer: their parts become one vector, by which scenes, videos and moments are ranked."""

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from services.common import vectors
from services.common.errors import InvalidInputError, NotFoundError, VideosearchError
from services.common.media import TimelinePoint, Vector
from services.common.ranking import (
    EmbeddingPart,
    Query,
    RankedScenes,
    RankedVideos,
    ScenePart,
    SceneRanking,
    StoredPart,
    VideoRanking,
)
from services.store import cursors
from services.store import ranking as rankings
from services.store.blocks import Packed
from services.store.columns import EPOCH
from services.store.cursors import Cursor
from services.store.index import Index
from services.store.spaces import check_space


def find_scenes(index: Index, query: Query, ranking: SceneRanking) -> RankedScenes:
    vector = resolve(index, query)
    digest = cursors.digest(vector, ranking)
    after = cursors.decode(ranking.cursor, digest)
    hits, more = rankings.find_scenes(index, vector, ranking, after)
    videos = tuple(index.found(video_id) for video_id in dict.fromkeys(hit.video_id for hit in hits))
    if not more:
        return RankedScenes(hits, videos)
    place = Cursor(hits[-1].score, hits[-1].video_id, hits[-1].ordinal, _began(index, after))
    return RankedScenes(hits, videos, cursors.encode(place, digest))


def find_videos(index: Index, query: Query, ranking: VideoRanking) -> RankedVideos:
    vector = resolve(index, query)
    digest = cursors.digest(vector, ranking)
    after = cursors.decode(ranking.cursor, digest)
    hits, more = rankings.find_videos(index, vector, ranking, after)
    if not more:
        return RankedVideos(hits)
    place = Cursor(hits[-1].score, hits[-1].video.video_id, 0, _began(index, after))
    return RankedVideos(hits, cursors.encode(place, digest))


def _began(index: Index, after: Cursor | None) -> datetime:
    """What was put later does not count in the ranking."""
    return after.newest if after else index.newest or EPOCH


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
            vector = _vector(index, part)
            if dimension not in {0, vector.size}:
                raise InvalidInputError(f"its embedding has {vector.size} components, those before {dimension}")
        except VideosearchError as error:
            raise type(error)(f"parts[{place}]: {error}" if len(query) > 1 else str(error)) from error
        dimension = vector.size
        yield vector


def _vector(index: Index, part: EmbeddingPart | StoredPart) -> Vector:
    """(D,), unit length."""
    if isinstance(part, EmbeddingPart):
        check_space(index.contents, part.model, part.vector.size)
        return part.vector
    number = index.number(part.video_id)
    first, stop = index.bounds[number], index.bounds[number + 1]
    if isinstance(part, ScenePart):
        if not 0 <= part.ordinal < stop - first:
            raise NotFoundError(f"video {part.video_id!r} has {stop - first} scenes, and no scene {part.ordinal}")
        first, stop = first + part.ordinal, first + part.ordinal + 1
    samples = index.rows.vectors_of(index.rows.bounds[first], index.rows.bounds[stop])  # (n, D)
    return vectors.normalize(samples.mean(axis=0, dtype=np.float64))
