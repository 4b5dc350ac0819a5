"""Rankings of scenes. Scores are exact; see candidates.py for which scenes have one.

The best scenes are merged with their neighbors; then one after the other is a hit, unless it is a near-duplicate of a
better hit, or beyond what its video may have. What comes of the best so many does not depend on how many follow, so
that each page begins at the best again.
"""

from dataclasses import dataclass

import numpy as np

from services.common import call
from services.common.media import SceneHit, Segment
from services.common.ranking import SceneRanking
from services.store import duplicates
from services.store.asked import Asked
from services.store.blocks import Scores
from services.store.candidates import Candidates, ranked
from services.store.columns import Mask
from services.store.duplicates import Sifted
from services.store.index import Index
from services.store.merging import Spans, merged
from services.store.order import behind, earlier_equals, id_ranks, leaders
from services.store.pages import Cut, Line, Page
from services.store.scenes import Int64
from services.store.scoring import Scored


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """What comes of the best scored scenes: hits in their order, with those that are passed over."""

    found: Scored
    spans: Spans
    line: Line
    complete: bool
    """Whether no other scenes could be among them."""

    @property
    def scores(self) -> Scores:
        return self.line.scores


def find_scenes(asked: Asked[SceneRanking]) -> Page[SceneHit]:
    """Best first, equal scores in the order of video id, then ordinal.

    Behind the cursor, if there is one, and only of what was in the store when that ranking began.
    """
    wanted = asked.ranking.top_k
    beginning = ranked(asked, wanted, lambda candidates: begun(asked, candidates, wanted))
    return beginning.line.page(lambda places: hits_of(asked.index, beginning.found, beginning.spans.at(places)))


def begun(asked: Asked[SceneRanking], candidates: Candidates, wanted: int) -> Beginning:
    """As far as needed: where scenes are passed over, look at more of the best until enough remain."""
    count = wanted + 1
    while True:
        call.check()
        best = leaders(candidates.scored.scores, count)
        beginning = _of_leaders(asked, candidates, best, wanted)
        if len(beginning.line.places) > wanted or len(best) == len(candidates.scored.scenes):
            return beginning
        count *= 4


def _of_leaders(asked: Asked[SceneRanking], candidates: Candidates, best: Int64, wanted: int) -> Beginning:
    index, ranking, found = asked.index, asked.ranking, candidates.scored
    if ranking.merge_ratio is not None and not candidates.complete:
        found, best = _with_neighbors(asked, found, best)
    videos = index.rows.videos[found.scenes[best]]
    order = best[np.lexsort((found.scenes[best], id_ranks(index, videos), -found.scores[best]))]
    cut = Cut.of(ranking, _best_score(asked, found, order))
    spans = Spans.single(order)
    if ranking.merge_ratio is not None:
        spans = merged(index.rows, found, order, ranking.merge_ratio, cut.floor)
    later, sifted = _later(asked, found, spans.places), _sifted(asked, found.scenes[spans.places])
    line = Line.of(found.scores[spans.places], later & sifted.hits, later & sifted.alike, wanted, cut)
    return Beginning(found, spans, line, candidates.complete)


def _with_neighbors(asked: Asked[SceneRanking], found: Scored, best: Int64) -> tuple[Scored, Int64]:
    """All chosen scenes of the videos of the best, and where the best are among them."""
    threshold = found.scores[best].min(initial=np.inf)
    full = asked.scored_in_full(asked.index.rows.videos[found.scenes[best]])
    return full, np.flatnonzero(full.scores >= threshold)


def _best_score(asked: Asked[SceneRanking], found: Scored, order: Int64) -> float:
    """That of the first scene that is no duplicate."""
    if asked.after:
        return asked.after.best
    if not len(order):
        return 0.0
    first, similarity = 0, asked.ranking.duplicate_similarity
    if similarity is not None and asked.ranking.relative_cutoff is not None and len(asked.known):
        first = duplicates.first_unlike_named(asked, found.scenes[order], similarity)
    return float(found.scores[order[first]])


def _sifted(asked: Asked[SceneRanking], scenes: Int64) -> Sifted:
    """Of scenes, best first, those that become hits."""
    ranking = asked.ranking
    if ranking.duplicate_similarity is not None:
        return duplicates.sifted_scenes(asked, scenes, ranking.duplicate_similarity)
    hits = np.ones(len(scenes), dtype=np.bool_)
    if ranking.scenes_per_video is not None:
        hits = earlier_equals(asked.index.rows.videos[scenes]) < ranking.scenes_per_video
    return Sifted(hits, np.zeros_like(hits))


def _later(asked: Asked[SceneRanking], found: Scored, places: Int64) -> Mask:
    """Which are behind the cursor."""
    if not asked.after:
        return np.ones(len(places), dtype=np.bool_)
    scenes = found.scenes[places]
    videos = asked.index.rows.videos[scenes]
    return behind(asked.index, asked.after, found.scores[places], videos, scenes - asked.index.bounds[videos])


def hits_of(index: Index, found: Scored, spans: Spans) -> tuple[SceneHit, ...]:
    rows, places, scenes = index.rows, spans.places, found.scenes[spans.places]
    numbers = rows.videos[scenes]
    columns = zip(
        numbers.tolist(),
        (scenes - index.bounds[numbers]).tolist(),
        rows.starts_ns[scenes - spans.befores].tolist(),
        rows.ends_ns[scenes + spans.afters].tolist(),
        found.scores[places].tolist(),
        rows.bounds[scenes].tolist(),
        found.bounds[places].tolist(),
        found.bounds[places + 1].tolist(),
        spans.befores.tolist(),
        spans.afters.tolist(),
        strict=True,
    )
    return tuple(
        SceneHit(
            video_id=index.videos[number].video_id,
            ordinal=ordinal,
            segment=Segment(start_ns, end_ns),
            score=score,
            best_offset_ns=int(rows.offsets_ns[row + found.similarities[first:stop].argmax()]),
            merged_before=before,
            merged_after=after,
        )
        for number, ordinal, start_ns, end_ns, score, row, first, stop, before, after in columns
    )
