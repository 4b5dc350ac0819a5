"""Exact nearest-neighbor search: every sampled vector is scored, by scenes and by videos."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.common.media import SceneHit, SceneScoring, Segment, Vector, VideoHit, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from services.store.index import Index
from services.store.scenes import Int64

Scores: TypeAlias = NDArray[np.float32]


def find_scenes(index: Index, query: Vector, ranking: SceneRanking) -> tuple[SceneHit, ...]:
    """Best first; equal scores in the order of video id, then ordinal."""
    selected = index.selected(ranking.video_filter)  # (V,)
    scenes = np.flatnonzero(selected[index.rows.videos])  # (C,)
    if not scenes.size:
        return ()
    similarities = _similarities(index, query)
    scores = _scene_scores(index, similarities, ranking.scene_scoring)
    best = _best_scenes(index, scenes, scores[scenes], ranking)
    return _hits(index, best, scores, similarities)


def find_videos(index: Index, query: Vector, ranking: VideoRanking) -> tuple[VideoHit, ...]:
    """Best first; equal scores in the order of video id."""
    numbers = np.flatnonzero(index.selected(ranking.video_filter))  # (C,)
    if not numbers.size:
        return ()
    similarities = _similarities(index, query)
    scene_scores = _scene_scores(index, similarities, ranking.scene_scoring)
    best_scoring = ranking.video_scoring is VideoScoring.BEST
    scores = _best(scene_scores, index.bounds) if best_scoring else _mean(scene_scores, index.bounds)  # (V,)
    leaders = numbers[_leaders(scores[numbers], ranking.top_k)]
    order = np.lexsort((_id_ranks(index, leaders), -scores[leaders]))[: ranking.top_k]
    return tuple(
        VideoHit(
            index.videos[number],
            float(scores[number]),
            _hits(
                index,
                _best_of_video(index, number, scene_scores, ranking.scenes_per_video),
                scene_scores,
                similarities,
            ),
        )
        for number in leaders[order].tolist()
    )


def _similarities(index: Index, query: Vector) -> Scores:
    """Cosines to every sample.

    Not by `matrix @ query`: there a row's last bit depends on where the row is, so that equal frames would not tie and
    a restart would change scores. `vecdot` does each row alone; the speed of memory bounds both alike.
    """
    cosines = np.vecdot(index.rows.vectors, query)  # (N, D) . (D,) -> (N,)
    clipped: Scores = np.clip(cosines, -1, 1, out=cosines)
    return clipped


def _scene_scores(index: Index, similarities: Scores, scoring: SceneScoring) -> Scores:
    combine = _best if scoring is SceneScoring.BEST else _mean
    return combine(similarities, index.rows.bounds)  # (N,) -> (S,)


def _best(scores: Scores, bounds: Int64) -> Scores:
    best: Scores = np.maximum.reduceat(scores, bounds[:-1])
    return best


def _mean(scores: Scores, bounds: Int64) -> Scores:
    mean: Scores = np.divide(np.add.reduceat(scores, bounds[:-1]), np.diff(bounds), dtype=np.float32)
    return mean


def _best_scenes(index: Index, scenes: Int64, scores: Scores, ranking: SceneRanking) -> Int64:
    """Where each video may have only so many, look at more leaders until enough remain."""
    count = ranking.top_k
    while True:
        leaders = _leaders(scores, count)
        videos = index.rows.videos[scenes[leaders]]
        order = np.lexsort((scenes[leaders], _id_ranks(index, videos), -scores[leaders]))
        if ranking.scenes_per_video is not None:
            order = order[_earlier_equals(videos[order]) < ranking.scenes_per_video]
        if len(order) >= ranking.top_k or len(leaders) == len(scenes):
            best: Int64 = scenes[leaders[order[: ranking.top_k]]]
            return best
        count *= 4


def _best_of_video(index: Index, number: int, scene_scores: Scores, count: int) -> Int64:
    first, stop = index.bounds[number], index.bounds[number + 1]
    best: Int64 = first + np.argsort(-scene_scores[first:stop], kind="stable")[:count]
    return best


def _leaders(scores: Scores, count: int) -> Int64:
    """Where the `count` highest scores are, in no order, and all that equal the last of them."""
    if count >= len(scores):
        return np.arange(len(scores))
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(scores >= threshold)


def _id_ranks(index: Index, numbers: Int64) -> Int64:
    """For each of the numbers, how its video's id sorts among theirs."""
    distinct, places = np.unique(numbers, return_inverse=True)
    ids = np.array([index.videos[number].video_id for number in distinct])
    return np.argsort(np.argsort(ids))[places]


def _earlier_equals(values: Int64) -> Int64:
    """For each value, how many equal ones come before it."""
    order = np.argsort(values, kind="stable")
    _, firsts, counts = np.unique(values[order], return_index=True, return_counts=True)
    earlier = np.empty(len(values), dtype=np.int64)
    earlier[order] = np.arange(len(values)) - np.repeat(firsts, counts)
    return earlier


def _hits(index: Index, scenes: Int64, scores: Scores, similarities: Scores) -> tuple[SceneHit, ...]:
    rows = index.rows
    numbers = rows.videos[scenes]
    columns = zip(
        numbers.tolist(),
        (scenes - index.bounds[numbers]).tolist(),
        rows.starts_ns[scenes].tolist(),
        rows.ends_ns[scenes].tolist(),
        scores[scenes].tolist(),
        rows.bounds[scenes].tolist(),
        rows.bounds[scenes + 1].tolist(),
        strict=True,
    )
    return tuple(
        SceneHit(
            video_id=index.videos[number].video_id,
            ordinal=ordinal,
            segment=Segment(start_ns, end_ns),
            score=score,
            best_offset_ns=int(rows.offsets_ns[first + similarities[first:stop].argmax()]),
        )
        for number, ordinal, start_ns, end_ns, score, first, stop in columns
    )
