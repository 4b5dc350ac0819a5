"""What the parts of a query stand for: vectors, and scenes and videos that they name."""

from dataclasses import dataclass

import numpy as np

from services.common.errors import NotFoundError
from services.common.media import Vector
from services.common.ranking import (
    EmbeddingPart,
    MomentPart,
    Query,
    ScenePart,
    SceneRanking,
    StoredPart,
    VideoPart,
    VideoRanking,
)
from services.store import means
from services.store.columns import MAX_INT64
from services.store.index import Index
from services.store.scenes import Int64
from services.store.spaces import check_space


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """What a query names, so that it is not found again: each once, in ascending order."""

    scenes: Int64
    videos: Int64
    """Numbers: all of their scenes are meant."""


NOTHING = Named(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def named(index: Index, query: Query, ranking: SceneRanking) -> Named:
    """What is no hit of the ranking; NotFoundError for a part that names what does not exist."""
    if ranking.include_named:
        return NOTHING
    stored = [part for part in query if not isinstance(part, EmbeddingPart)]
    by_video = isinstance(ranking, VideoRanking)
    videos = {index.number(part.video_id) for part in stored if by_video or isinstance(part, VideoPart)}
    scenes = {_scene(index, part) for part in stored if not by_video and not isinstance(part, VideoPart)}
    return Named(*(np.array(sorted(each), dtype=np.int64) for each in (scenes, videos)))


def vector_of(index: Index, part: EmbeddingPart | StoredPart) -> Vector:
    """(D,), unit length; NotFoundError as in `named`, PreconditionError for an embedding of another model."""
    match part:
        case EmbeddingPart(vector, model):
            check_space(index.contents, model, vector.size)
        case ScenePart():
            vector = means.of_scenes(index.rows, np.array([_scene(index, part)]))[0]
        case MomentPart():
            sample = _sample(index, part)
            vector = index.rows.vectors_of(sample, sample + 1)[0]
        case VideoPart(video_id):
            vector = means.of_videos(index, np.array([index.number(video_id)]))[0]
    return vector


def _scene(index: Index, part: ScenePart | MomentPart) -> int:
    """Its place among the scenes of the rows; of a moment that of its sample."""
    if isinstance(part, MomentPart):
        return int(np.searchsorted(index.rows.bounds, _sample(index, part), side="right")) - 1
    first, stop = _scenes(index, part.video_id)
    if not 0 <= part.ordinal < stop - first:
        raise NotFoundError(f"video {part.video_id!r} has {stop - first} scenes, and no scene {part.ordinal}")
    return first + part.ordinal


def _sample(index: Index, part: MomentPart) -> int:
    """The row of the sampled frame that is nearest to the moment, of two the earlier one."""
    first, stop = index.rows.bounds[[*_scenes(index, part.video_id)]].tolist()
    distances = np.abs(index.rows.offsets_ns[first:stop] - min(part.offset_ns, MAX_INT64))
    return int(first + distances.argmin())


def _scenes(index: Index, video_id: str) -> tuple[int, int]:
    """Where the video's scenes begin and end."""
    number = index.number(video_id)
    first, stop = index.bounds[number : number + 2].tolist()
    return first, stop
