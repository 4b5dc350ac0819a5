"""What a catalog says of its videos, for comparison, and damage to the files that it is read from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from services.common import vectors
from services.common.media import Scene, Video
from services.common.ranking import Query, SceneRanking
from services.store import files
from services.store.catalog import Catalog
from tests.stores import query_of

DIMENSION = 64
VECTOR = vectors.normalize(np.random.default_rng(0).standard_normal(DIMENSION))
QUERY: Query = query_of(VECTOR)

Picture: TypeAlias = Mapping[str, tuple[Video, tuple[Scene, ...], Mapping[int, float]]]
"""By video id: the video, its scenes, and the score of each; of the whole video, so that a mixture of two shows."""


def picture(catalog: Catalog) -> Picture:
    videos = {video.video_id: video for video in catalog.videos("", 1000)[0]}
    scores: dict[str, dict[int, float]] = {video_id: {} for video_id in videos}
    for hit in catalog.find_scenes(QUERY, SceneRanking(top_k=10_000)).hits:
        scores[hit.video_id][hit.ordinal] = hit.score
    return {
        video_id: (video, catalog.scenes(video_id, 0, 10_000)[0], scores[video_id])
        for video_id, video in videos.items()
    }


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def database_files(folder: Path) -> Iterator[Path]:
    """Those with anything in them."""
    return (path for path in files.of_database(folder) if path.stat().st_size)
