"""Rankings of scenes and of videos. Scores are exact; see candidates.py for which scenes have one."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from services.common.media import SceneHit, Segment, Vector, VideoHit, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from services.store.blocks import Packed, Scores
from services.store.candidates import Candidates, Chosen, all_of, ever_more
from services.store.cursors import Cursor
from services.store.index import Index
from services.store.scenes import Int64
from services.store.scoring import Scored, best, mean, scored


def find_scenes(
    index: Index, query: Vector, ranking: SceneRanking, after: Cursor | None
) -> tuple[tuple[SceneHit, ...], bool]:
    """Best first, equal scores in the order of video id, then ordinal; and whether there are more.

    Behind `after`, if given, and only of what was in the store when that ranking began.
    """
    chosen = Chosen.of(index, ranking, after)
    places = np.empty(0, dtype=np.int64)
    for candidates in ever_more(index, query, chosen, ranking):
        found = candidates.scored
        places = _best_scenes(index, found, ranking, after)
        if candidates.suffice(found.scores[places], ranking.top_k):
            break
    return _hits(index, found, places[: ranking.top_k]), len(places) > ranking.top_k


def find_videos(
    index: Index, query: Vector, ranking: VideoRanking, after: Cursor | None
) -> tuple[tuple[VideoHit, ...], bool]:
    """Best first, equal scores in the order of video id; and whether there are more. As `find_scenes` otherwise."""
    chosen, packed = Chosen.of(index, ranking, after), Packed(query)
    for candidates in _of_videos(index, query, chosen, ranking):
        leaders = _leading_videos(index, candidates.scored, ranking, after)
        found = scored(index.rows, packed, Chosen(leaders, chosen.window).scenes(index), ranking)
        numbers, scores = _best_videos(index, found, ranking, after)
        if candidates.suffice(scores, ranking.top_k):
            break
    hits = tuple(
        VideoHit(index.videos[number], score, _hits(index, found, _of_video(index, found, number, ranking)))
        for number, score in zip(numbers[: ranking.top_k].tolist(), scores[: ranking.top_k].tolist(), strict=True)
    )
    return hits, len(numbers) > ranking.top_k


def _of_videos(index: Index, query: Vector, chosen: Chosen, ranking: VideoRanking) -> Iterable[Candidates]:
    """A video's mean needs all of its scenes, its best score only the likely ones."""
    if ranking.video_scoring is VideoScoring.BEST:
        return ever_more(index, query, chosen, ranking)
    return [all_of(index, Packed(query), chosen, ranking)]


def _best_scenes(index: Index, found: Scored, ranking: SceneRanking, after: Cursor | None) -> Int64:
    """Places, best first: one more than asked for, if there are so many.

    Where each video may have only so many, look at more leaders until enough remain.
    """
    count = ranking.top_k + 1
    while True:
        leaders = _leaders(found.scores, count)
        videos = index.rows.videos[found.scenes[leaders]]
        order = np.lexsort((found.scenes[leaders], _id_ranks(index, videos), -found.scores[leaders]))
        if ranking.scenes_per_video is not None:
            order = order[_earlier_equals(videos[order]) < ranking.scenes_per_video]
        places = leaders[order]
        if after:
            ordinals = found.scenes[places] - index.bounds[videos[order]]
            places = places[_behind(index, after, found.scores[places], videos[order], ordinals)]
        if len(places) > ranking.top_k or len(leaders) == len(found.scenes):
            return places[: ranking.top_k + 1]
        count *= 4


def _leading_videos(index: Index, found: Scored, ranking: VideoRanking, after: Cursor | None) -> NDArray[np.bool_]:
    """(V,): those that are asked for and one more, as far as these scenes tell."""
    numbers, _ = _best_videos(index, found, ranking, after)
    leading = np.zeros_like(index.alive)
    leading[numbers] = True
    return leading


def _best_videos(index: Index, found: Scored, ranking: VideoRanking, after: Cursor | None) -> tuple[Int64, Scores]:
    """Numbers and scores, best first: one more than asked for, if there are so many."""
    if not len(found.scenes):
        return found.scenes, found.scores
    numbers, firsts = np.unique(index.rows.videos[found.scenes], return_index=True)  # ascending, as scenes are
    combine = best if ranking.video_scoring is VideoScoring.BEST else mean
    scores = combine(found.scores, np.append(firsts, len(found.scenes)))
    if after:
        behind = _behind(index, after, scores, numbers, np.zeros_like(numbers))
        numbers, scores = numbers[behind], scores[behind]
    leaders = _leaders(scores, ranking.top_k + 1)
    order = leaders[np.lexsort((_id_ranks(index, numbers[leaders]), -scores[leaders]))][: ranking.top_k + 1]
    return numbers[order], scores[order]


def _of_video(index: Index, found: Scored, number: int, ranking: VideoRanking) -> Int64:
    """Places of a video's best scenes."""
    first, stop = np.searchsorted(found.scenes, index.bounds[number : number + 2])
    places: Int64 = first + np.argsort(-found.scores[first:stop], kind="stable")[: ranking.scenes_per_video]
    return places


def _behind(index: Index, after: Cursor, scores: Scores, videos: Int64, ordinals: Int64) -> NDArray[np.bool_]:
    """Which come later in the ranking than the cursor's place."""
    behind = scores < after.score
    for place in np.flatnonzero(scores == after.score).tolist():
        key = (index.videos[videos[place]].video_id, int(ordinals[place]))
        behind[place] = key > (after.video_id, after.ordinal)
    return behind


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


def _hits(index: Index, found: Scored, places: Int64) -> tuple[SceneHit, ...]:
    rows, scenes = index.rows, found.scenes[places]
    numbers = rows.videos[scenes]
    columns = zip(
        numbers.tolist(),
        (scenes - index.bounds[numbers]).tolist(),
        rows.starts_ns[scenes].tolist(),
        rows.ends_ns[scenes].tolist(),
        found.scores[places].tolist(),
        rows.bounds[scenes].tolist(),
        found.bounds[places].tolist(),
        found.bounds[places + 1].tolist(),
        strict=True,
    )
    return tuple(
        SceneHit(
            video_id=index.videos[number].video_id,
            ordinal=ordinal,
            segment=Segment(start_ns, end_ns),
            score=score,
            best_offset_ns=int(rows.offsets_ns[row + found.similarities[first:stop].argmax()]),
        )
        for number, ordinal, start_ns, end_ns, score, row, first, stop in columns
    )
