"""Made-up videos, and a store on loopback to put them in."""

import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from services.common import vectors
from services.common.clients.store import StoreClient
from services.common.media import Matrix, Sample, Scene, Segment, Video
from services.store.catalog import Catalog
from services.store.draft import Draft
from services.store.scenes import IndexedVideo
from services.store.servicer import StoreServicer
from tests.servers import serving
from videosearch.v1 import store_pb2_grpc

MODEL = "model-a"
SECOND = 1_000_000_000


def video(video_id: str = "v", model: str = MODEL, title: str = "", **fields) -> Video:
    return Video(video_id, f"/videos/{video_id}.mp4", title, "", model, decoded_ns=0, **fields)


def scene(ordinal: int, embeddings: Matrix) -> Scene:
    """Two seconds long, its samples 0.1 s apart."""
    start_ns = 2 * ordinal * SECOND
    samples = (Sample(start_ns + n * SECOND // 10, vector) for n, vector in enumerate(embeddings))
    return Scene(ordinal, Segment(start_ns, start_ns + 2 * SECOND), tuple(samples))


def scenes(count: int, sample_count: int = 3, dimension: int = 8, seed: int = 0) -> list[Scene]:
    """Scenes with random embeddings."""
    random = np.random.default_rng(seed)
    return [scene(n, vectors.normalize(random.standard_normal((sample_count, dimension)))) for n in range(count)]


def indexed(stored: Video, its_scenes: Sequence[Scene]) -> IndexedVideo:
    draft = Draft(stored, max_scenes=1000)
    for one in its_scenes:
        draft.add(one)
    return draft.finish()


@asynccontextmanager
async def store(folder: Path, max_scenes_per_video: int = 1000) -> AsyncIterator[StoreClient]:
    servicer = StoreServicer(max_scenes_per_video)
    add = partial(store_pb2_grpc.add_StoreServiceServicer_to_server, servicer)
    with Catalog(folder) as catalog:
        servicer.use(catalog)
        async with serving(StoreClient.service, add) as address, StoreClient(address) as client:
            yield client


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Writes that would make a file larger fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
