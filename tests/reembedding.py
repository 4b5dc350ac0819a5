"""Videos with images of every sample, and what an embedder that knows colors makes of them."""

from collections.abc import Sequence

import cv2
import numpy as np

from services.common.clients.embedder import EmbedderClient
from services.common.clients.store import StoreClient
from services.common.media import Scene, VideoFilter
from services.common.ranking import SceneRanking
from tests.indexers import MODEL as COLORS
from tests.stores import query_of, scenes, video

GRAY = np.full(3, 3**-0.5, np.float32)
ALL = SceneRanking(top_k=1000)


def plain_jpeg(number: int) -> bytes:
    """One of many colors."""
    color = np.random.default_rng(number).integers(0, 256, 3)
    return cv2.imencode(".jpg", np.full((8, 8, 3), color, np.uint8))[1].tobytes()


def pictured(count: int, seed: int = 0) -> list[Scene]:
    """Scenes of the store's old model, each sample with an image of its own."""
    images = iter(range(1000 * seed, 1000 * seed + 3 * count))
    return [
        Scene(
            one.ordinal,
            one.segment,
            tuple(type(s)(s.offset_ns, s.vector, plain_jpeg(next(images))) for s in one.samples),
        )
        for one in scenes(count, seed=seed)
    ]


async def fill(store: StoreClient, names: Sequence[str], count: int = 4) -> None:
    for seed, name in enumerate(names):
        await store.put_video(video(name), pictured(count, seed))


async def grays(store: StoreClient, name: str) -> dict[int, float]:
    """How near each scene of a video is to gray, by the colors' model."""
    ranking = SceneRanking(top_k=1000, video_filter=VideoFilter(frozenset({name})))
    found = await store.find_scenes(query_of(GRAY, COLORS.fingerprint), ranking)
    return {hit.ordinal: hit.score for hit in found.hits}


async def grays_of_images(embedder_address: str, made: Sequence[Scene]) -> dict[int, float]:
    """The same of the images themselves, as if they had just been indexed."""
    async with EmbedderClient(embedder_address) as embedder:
        scores = {}
        for one in made:
            embedded = await embedder.embed_images([sample.image for sample in one.samples])
            scores[one.ordinal] = float((embedded.matrix @ GRAY).max())
    return scores
