"""Rankings of videos, each with its best scenes: as scene_ranking.py."""

from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from services.common import call
from services.common.media import VideoHit, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from services.store import diversity, duplicates, means
from services.store.asked import Asked
from services.store.blocks import Scores
from services.store.candidates import Candidates, all_of, alone, ranked
from services.store.columns import Mask
from services.store.merging import Spans
from services.store.order import behind, id_ranks, leaders
from services.store.pages import Cut, Line, Page
from services.store.parts import NOTHING
from services.store.scene_ranking import begun, hits_of
from services.store.scenes import Int64
from services.store.scoring import Scored, best, mean, top_mean


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """The best videos in their order, with those that are passed over."""

    candidates: Candidates
    """What they were ranked by."""
    numbers: Int64
    video_scores: Scores
    line: Line
    complete: bool
    """Whether no other videos could be among them."""

    @property
    def scores(self) -> Scores:
        return self.line.scores


def find_videos(asked: Asked[VideoRanking]) -> Page[VideoHit]:
    """Best first, equal scores in the order of video id; with diversity in the order of that. Else as `find_scenes`."""
    ranking = asked.ranking
    wanted = diversity.pool_size(ranking.top_k) if ranking.diversity else ranking.top_k
    beginning = _ranked(asked, wanted)
    if not ranking.diversity:
        return beginning.line.page(lambda places: _hits(asked, beginning, places))
    return _diverse(asked, beginning)


def _diverse(asked: Asked[VideoRanking], beginning: Beginning) -> Page[VideoHit]:
    """The only page of it."""
    ranking, pool = asked.ranking, beginning.line.page(lambda places: tuple(places.tolist()))
    places = np.array(pool.hits, dtype=np.int64)
    length = float(np.linalg.norm(asked.query)) or 1.0
    matrix = means.of_videos(asked.index, beginning.numbers[places])  # (n, D)
    order = diversity.picked(beginning.video_scores[places] / length, matrix, ranking.top_k, ranking.diversity)
    hits = _hits(asked, beginning, places[order])
    low_score_count = min(ranking.top_k, len(pool.hits) + pool.low_score_count) - len(hits)
    return Page(hits, False, pool.best, low_score_count, (pool.duplicate_count,) * (len(hits) + 1))


def _ranked(asked: Asked[VideoRanking], wanted: int) -> Beginning:
    """A video's best score needs its likely scenes only, its mean all scenes.

    The mean of its best scenes is no more than its best score, and needs all scenes of the videos that are ranked.
    """
    match asked.ranking.video_scoring:
        case VideoScoring.BEST:
            beginning = ranked(asked, wanted, lambda candidates: _begun(asked, candidates, wanted))
            if beginning.candidates.complete:
                return beginning
            found = asked.scored_in_full(beginning.numbers)  # whose best scenes are told, too
            return _of_leaders(asked, alone(found), *_scores(found, asked), wanted)
        case VideoScoring.MEAN:
            return _begun(asked, all_of(asked), wanted)
        case VideoScoring.TOP_MEAN:
            return ranked(asked, wanted, lambda candidates: _begun(asked, _in_full(asked, candidates), wanted))


def _in_full(asked: Asked[VideoRanking], candidates: Candidates) -> Candidates:
    if candidates.complete:
        return candidates
    numbers = np.unique(asked.index.rows.videos[candidates.scored.scenes])
    return replace(candidates, scored=asked.scored_in_full(numbers), complete=_are_all(asked, numbers))


def _are_all(asked: Asked[VideoRanking], numbers: Int64) -> bool:
    """Whether there is no other chosen video."""
    return len(numbers) == np.count_nonzero(asked.chosen.videos)


def _begun(asked: Asked[VideoRanking], candidates: Candidates, wanted: int) -> Beginning:
    numbers, scores = _scores(candidates.scored, asked)
    if asked.after and asked.ranking.duplicate_similarity is None:
        later = _later(asked, numbers, scores)  # the others do not count then
        numbers, scores = numbers[later], scores[later]
    count = wanted + 1
    while True:
        call.check()
        best = leaders(scores, count)
        beginning = _of_leaders(asked, candidates, numbers[best], scores[best], wanted)
        if len(beginning.line.places) > wanted or len(best) == len(numbers):
            return beginning
        count *= 4


def _of_leaders(
    asked: Asked[VideoRanking], candidates: Candidates, numbers: Int64, scores: Scores, wanted: int
) -> Beginning:
    index, ranking = asked.index, asked.ranking
    order = np.lexsort((id_ranks(index, numbers), -scores))
    numbers, scores = numbers[order], scores[order]
    distinct = np.ones(len(numbers), dtype=np.bool_)
    if ranking.duplicate_similarity is not None:
        distinct = duplicates.sifted_videos(asked, numbers, ranking.duplicate_similarity).hits
    later = _later(asked, numbers, scores)
    cut = Cut.of(ranking, _best_score(asked, scores[distinct]))
    line = Line.of(scores, later & distinct, later & ~distinct, wanted, cut)
    complete = candidates.complete or _are_all(asked, numbers)
    return Beginning(candidates, numbers, scores, line, complete)


def _scores(found: Scored, asked: Asked[VideoRanking]) -> tuple[Int64, Scores]:
    """Numbers of the scenes' videos, ascending, with their scores as far as these scenes tell."""
    if not len(found.scenes):
        return found.scenes, found.scores
    numbers, firsts = np.unique(asked.index.rows.videos[found.scenes], return_index=True)
    bounds = np.append(firsts, len(found.scenes))
    match asked.ranking.video_scoring:
        case VideoScoring.BEST:
            return numbers, best(found.scores, bounds)
        case VideoScoring.MEAN:
            return numbers, mean(found.scores, bounds)
        case VideoScoring.TOP_MEAN:
            return numbers, top_mean(found.scores, bounds, asked.ranking.top_scene_count)


def _best_score(asked: Asked[VideoRanking], scores: Scores) -> float:
    if asked.after:
        return asked.after.best
    return float(scores[0]) if len(scores) else 0.0


def _later(asked: Asked[VideoRanking], numbers: Int64, scores: Scores) -> Mask:
    """Which are behind the cursor."""
    if not asked.after:
        return np.ones(len(numbers), dtype=np.bool_)
    return behind(asked.index, asked.after, scores, numbers, np.zeros_like(numbers))


def _hits(asked: Asked[VideoRanking], beginning: Beginning, places: Int64) -> tuple[VideoHit, ...]:
    inner, found = _scenes_asked(asked), beginning.candidates.scored
    numbers = beginning.numbers[places].tolist()
    spans = [_best_scenes(inner, found, number) for number in numbers]
    scenes = iter(hits_of(asked.index, found, Spans.joined(spans)))  # of all at once: each array operation costs
    return tuple(
        VideoHit(asked.index.videos[number], score, tuple(islice(scenes, len(its.places))))
        for number, score, its in zip(numbers, beginning.video_scores[places].tolist(), spans, strict=True)
    )


def _scenes_asked(asked: Asked[VideoRanking]) -> Asked[SceneRanking]:
    """For the scenes of one video: cut-offs and what is named are about videos."""
    ranking = SceneRanking(
        top_k=asked.ranking.scenes_per_video,
        merge_ratio=asked.ranking.merge_ratio,
        duplicate_similarity=asked.ranking.duplicate_similarity,
    )
    return Asked(asked.index, asked.query, ranking, None, NOTHING, asked.chosen)


def _best_scenes(asked: Asked[SceneRanking], found: Scored, number: int) -> Spans:
    """The best of a video."""
    ranking, wanted = asked.ranking, asked.ranking.top_k
    first, stop = np.searchsorted(found.scenes, asked.index.bounds[number : number + 2])
    its = Scored(found.scenes[first:stop], found.scores[first:stop], found.similarities, found.bounds[first : stop + 1])
    if ranking.merge_ratio is None and ranking.duplicate_similarity is None:
        return Spans.single(first + np.argsort(-its.scores, kind="stable")[:wanted])
    beginning = begun(asked, alone(its), wanted)
    return beginning.spans.at(beginning.line.places[:wanted]).moved(first)
