"""The order of a ranking: the best first, equal scores in the order of video id, then ordinal."""

import numpy as np

from services.store.blocks import Scores
from services.store.columns import Mask
from services.store.cursors import Cursor
from services.store.index import Index
from services.store.scenes import Int64


def leaders(scores: Scores, count: int) -> Int64:
    """Where the `count` highest scores are, in no order, and all that equal the last of them."""
    if count >= len(scores):
        return np.arange(len(scores))
    threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(scores >= threshold)


def id_ranks(index: Index, numbers: Int64) -> Int64:
    """For each of the numbers, how its video's id sorts among theirs."""
    distinct, places = np.unique(numbers, return_inverse=True)
    ids = np.array([index.videos[number].video_id for number in distinct])
    return np.argsort(np.argsort(ids))[places]


def behind(index: Index, after: Cursor, scores: Scores, videos: Int64, ordinals: Int64) -> Mask:
    """Which come later in the ranking than the cursor's place."""
    behind = scores < after.score
    for place in np.flatnonzero(scores == after.score).tolist():
        key = (index.videos[videos[place]].video_id, int(ordinals[place]))
        behind[place] = key > (after.video_id, after.ordinal)
    return behind


def earlier_equals(values: Int64) -> Int64:
    """For each value, how many equal ones come before it."""
    order = np.argsort(values, kind="stable")
    _, firsts, counts = np.unique(values[order], return_index=True, return_counts=True)
    earlier = np.empty(len(values), dtype=np.int64)
    earlier[order] = np.arange(len(values)) - np.repeat(firsts, counts)
    return earlier
