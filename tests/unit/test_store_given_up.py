"""The long parts of a search end soon after nobody waits for it any more."""

import numpy as np
import pytest

from services.common import call
from services.common.errors import DeadlineError
from services.common.ranking import Query, SceneRanking, VideoPart, VideoRanking
from services.store import diversity, queries
from services.store.blocks import Packed
from services.store.index import Index
from tests.stores import indexed, scenes, video

QUERY: Query = (VideoPart("w"),)
INDEX = Index().with_video(indexed(video("v"), scenes(5))).with_video(indexed(video("w"), scenes(5, seed=1)))
VECTORS = INDEX.rows.vectors
PACKED = Packed(queries.resolve(INDEX, QUERY))

LONG = {
    "a ranking of scenes": lambda: queries.find_scenes(INDEX, QUERY, SceneRanking()),
    "a ranking of videos": lambda: queries.find_videos(INDEX, QUERY, VideoRanking()),
    "one without duplicates": lambda: queries.find_scenes(INDEX, QUERY, SceneRanking(duplicate_similarity=0.9)),
    "a timeline": lambda: queries.timeline(INDEX, "v", QUERY),
    "samples that lie together": lambda: VECTORS.similarities(PACKED, 0, 5),
    "samples here and there": lambda: VECTORS.similarities_at(PACKED, np.array([1, 3])),
    "the choice of what is diverse": lambda: diversity.picked(
        np.ones(3, np.float32), np.eye(3, dtype=np.float32), 2, 0.5
    ),
}


@pytest.mark.parametrize("work", LONG.values(), ids=LONG)
async def test_work_for_nobody_is_given_up(work):
    present = call.begin()
    work()
    present.over = True
    with pytest.raises(DeadlineError):
        work()
