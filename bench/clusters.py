"""Made-up embeddings that lie as real ones do."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from services.common import vectors
from services.common.media import Matrix, Video
from services.store.database import Database
from services.store.records import Contents
from services.store.scenes import Halves, IndexedVideo, SceneTable

DIMENSION = 512
MODEL = "bench"
SCENES_PER_VIDEO, SAMPLES_PER_SCENE = 100, 3
SCENE_NS = 4_000_000_000

FALL = 0.9
"""Variances fall as i^-0.9, which gives a participation ratio of 46. Image features of Flickr8k have 42, and fall as
i^-1.2; their mean has length 0.65."""

MEAN, CENTER, SCENE, SAMPLE = 0.65, 0.6, 0.35, 0.15
"""Lengths of what is added up: one direction that all share, a cluster's own, a scene's and a sample's."""


class Clusters:
    """Scenes around centers, about a hundred of them a center, in any order; three samples around each scene."""

    def __init__(self, scene_count: int, dimension: int = DIMENSION, model: str = MODEL) -> None:
        self._dimension, self._model = dimension, model
        self._random = np.random.default_rng(scene_count)
        spread = np.arange(1, dimension + 1) ** (-FALL / 2)
        self._spread = (spread / np.linalg.norm(spread)).astype(np.float32)
        self._turn = np.linalg.qr(self._random.standard_normal((dimension, dimension)))[0].astype(np.float32)
        mean = vectors.normalize(self._random.standard_normal(dimension))
        self._centers = MEAN * mean + self.noise(max(scene_count // 100, 50), CENTER)  # (C, D)

    def scenes(self, count: int) -> Matrix:
        """(count, D): the middles of new scenes."""
        centers = self._centers[self._random.integers(0, len(self._centers), count)]
        return vectors.normalize(centers + self.noise(count, SCENE))

    def samples(self, scenes: Matrix) -> Halves:
        """(3 * len(scenes), D)."""
        middles = np.repeat(scenes, SAMPLES_PER_SCENE, axis=0)
        return vectors.normalize(middles + self.noise(len(middles), SAMPLE)).astype(np.float16)

    def near(self, count: int) -> Matrix:
        """Queries such as other scenes would be."""
        return self.scenes(count)

    def far(self, scenes: Matrix) -> Matrix:
        """Queries at a cosine of about 0.3 to one scene each, elsewhere in space, as texts are to images in CLIP."""
        elsewhere = vectors.normalize(self._random.standard_normal(scenes.shape))
        return vectors.normalize(0.3 * scenes + 0.954 * elsewhere)

    def video(self, number: int, video_id: str) -> IndexedVideo:
        """A tenth of the videos has metadata tenth=yes, a hundredth has hundredth=yes."""
        samples = self.samples(self.scenes(SCENES_PER_VIDEO))
        starts_ns = np.arange(SCENES_PER_VIDEO, dtype=np.int64) * SCENE_NS
        counts = np.full(SCENES_PER_VIDEO, SAMPLES_PER_SCENE, dtype=np.int64)
        offsets_ns = np.repeat(starts_ns, SAMPLES_PER_SCENE) + np.tile([1, 2, 3], SCENES_PER_VIDEO) * (SCENE_NS // 4)
        metadata = {name: "yes" for name, every in (("tenth", 10), ("hundredth", 100)) if number % every == 0}
        video = Video(
            *(video_id, f"/videos/{video_id}.mp4", f"Film {number}", "", self._model),
            decoded_ns=SCENES_PER_VIDEO * SCENE_NS,
            metadata=metadata,
            scene_count=SCENES_PER_VIDEO,
            index_time=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        )
        return IndexedVideo(video, SceneTable(starts_ns, starts_ns + SCENE_NS, counts, offsets_ns), samples)

    def videos(self, scene_count: int) -> Iterator[IndexedVideo]:
        for number in range(scene_count // SCENES_PER_VIDEO):
            yield self.video(number, f"v{number:08}")

    def noise(self, count: int, length: float) -> Matrix:
        """(count, D), of about that length."""
        noise = self._random.standard_normal((count, self._dimension), dtype=np.float32) * self._spread
        return (length * noise @ self._turn).astype(np.float32, copy=False)


def fill(folder: Path, videos: Iterable[IndexedVideo]) -> None:
    """Write a database as so many puts would, without a picture of it in memory."""
    database, contents = Database(folder), Contents()
    for indexed in videos:
        contents = Contents(
            indexed.video.model,
            indexed.embeddings.shape[1],
            contents.video_count + 1,
            contents.scene_count + len(indexed.scenes),
            contents.sample_count + len(indexed.embeddings),
        )
        database.put(indexed, contents)
    database.close()
