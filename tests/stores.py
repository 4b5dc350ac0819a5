"""Made-up videos, and a store on loopback to put them in."""

import resource
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from services.common import vectors
from services.common.clients.store import StoreClient
from services.common.media import Sample, Scene, Segment, StoreStats, Vector, Video
from services.common.ranking import EmbeddingPart, Query, RankedScenes, RankedVideos, SceneRanking, VideoRanking
from services.store import queries
from services.store.catalog import Catalog
from services.store.draft import Draft
from services.store.index import Index
from services.store.scenes import IndexedVideo
from services.store.servicer import StoreServicer
from services.store.staging import EmbeddingsDraft
from tests.servers import serving
from tools.stack import Service, free_addresses
from videosearch.v1 import store_pb2_grpc

MODEL = "model-a"
SECOND = 1_000_000_000


def video(video_id: str = "v", model: str = MODEL, title: str = "", *, content_sha256: str = "", **fields) -> Video:
    uri = f"/videos/{video_id}.mp4"
    return Video(video_id, uri, title, content_sha256, model, **{"decoded_ns": 0, **fields})


def scene(ordinal: int, embeddings: Iterable[Vector]) -> Scene:
    """Two seconds long, its samples 0.01 s apart from the middle on."""
    start_ns = 2 * ordinal * SECOND
    samples = (Sample(start_ns + SECOND + n * SECOND // 100, vector) for n, vector in enumerate(embeddings))
    return Scene(ordinal, Segment(start_ns, start_ns + 2 * SECOND), tuple(samples))


def scenes(count: int, sample_count: int = 3, dimension: int = 8, seed: int = 0) -> list[Scene]:
    """Scenes with random embeddings."""
    random = np.random.default_rng(seed)
    return [scene(n, vectors.normalize(random.standard_normal((sample_count, dimension)))) for n in range(count)]


def image(number: int, size_bytes: int = 1000) -> bytes:
    """What begins and ends as a JPEG."""
    return b"\xff\xd8\xff" + np.random.default_rng(number).bytes(size_bytes - 5) + b"\xff\xd9"


def with_images(made: Iterable[Scene], images: Sequence[bytes]) -> list[Scene]:
    """The scenes, with these images of the samples of each."""
    return [
        replace(
            one, samples=tuple(replace(sample, image=image) for sample, image in zip(one.samples, images, strict=True))
        )
        for one in made
    ]


def indexed(stored: Video, its_scenes: Sequence[Scene]) -> IndexedVideo:
    draft = Draft(stored)
    for one in its_scenes:
        draft.add(one)
    return draft.finish()


def counts(stats: StoreStats) -> StoreStats:
    """Without what depends on the machine and on how it came there."""
    return replace(stats, disk_size_bytes=0, vectors_size_bytes=0, disk_free_bytes=0)


def embeddings_of(stored: Video, made: Iterable[Scene], model: str, *, discard: bool = False) -> EmbeddingsDraft:
    """The scenes' vectors as another model's embeddings of a video that is stored."""
    draft = EmbeddingsDraft(stored.video_id, stored.index_time, model, discard)
    for one in made:
        draft.add([sample.vector for sample in one.samples])
    return draft


def query_of(vector: Vector, model: str = MODEL) -> Query:
    """The query of one embedding."""
    return (EmbeddingPart(vector, model),)


def scene_pages(index: Index, query: Query, ranking: SceneRanking) -> Iterator[RankedScenes]:
    """A ranking page after page, each by itself."""
    more = True
    while more:
        page = queries.scenes_answer(queries.find_scenes(index, query, ranking))
        yield page
        more, ranking = bool(page.next_cursor), replace(ranking, cursor=page.next_cursor)


def video_pages(index: Index, query: Query, ranking: VideoRanking) -> Iterator[RankedVideos]:
    more = True
    while more:
        page = queries.videos_answer(queries.find_videos(index, query, ranking), diversity=ranking.diversity)
        yield page
        more, ranking = bool(page.next_cursor), replace(ranking, cursor=page.next_cursor)


@asynccontextmanager
async def store(folder: Path, catalog_type: type[Catalog] = Catalog) -> AsyncIterator[StoreClient]:
    servicer = StoreServicer()
    add = partial(store_pb2_grpc.add_StoreServiceServicer_to_server, servicer)
    with catalog_type(folder) as catalog:
        servicer.use(catalog)
        async with serving(StoreClient.service, add) as address, StoreClient(address) as client:
            yield client


def process(folder: Path) -> Service:
    """`python -m services.store`, not started yet."""
    address = free_addresses()["store"]
    environment = {"VIDEOSEARCH_STORE_LISTEN": address, "VIDEOSEARCH_STORE_DATA_FOLDER": str(folder)}
    return Service("store", address, environment, log=lambda name, line: None)


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Writes that would make a file larger fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
