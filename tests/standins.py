"""Services for tests: an embedder that knows words, an indexer that does as it is told, and search between them."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from services.common import convert, vectors
from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import InvalidInputError, NotFoundError, PreconditionError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import Model, Scene, Vector
from services.search.query import Search
from services.search.servicer import SearchServicer
from tests.servers import serving
from tests.stores import SECOND, scene, video
from videosearch.v1 import embedder_pb2, embedder_pb2_grpc, indexer_pb2, indexer_pb2_grpc, search_pb2_grpc

DIMENSION, MAX_WORDS, MODEL = 64, 20, "words-1"
CACHED_TEXTS = 100
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def word_vector(text: str) -> Vector:
    """A direction for each word; texts that share words are near each other."""
    vector = np.zeros(DIMENSION, np.float32)
    for word in text.split()[:MAX_WORDS]:
        vector[zlib.crc32(word.encode()) % DIMENSION] += 1
    return vectors.normalize(vector)


def scenes_of(*descriptions: str) -> list[Scene]:
    """One scene of two seconds for each description, with a sample in its middle."""
    return [scene(ordinal, [word_vector(description)]) for ordinal, description in enumerate(descriptions)]


async def fill(videos: StoreClient) -> None:
    """Put two videos: a rabbit that wakes and meets a butterfly, and bikes in the rain."""
    rabbit = video("rabbit", MODEL, "Rabbit", decoded_ns=6 * SECOND, metadata={"kind": "cartoon"})
    await videos.put_video(rabbit, scenes_of("a rabbit wakes", "a butterfly", "a squirrel throws nuts"))
    street = video("street", MODEL, "Street", decoded_ns=4 * SECOND, metadata={"kind": "real"})
    await videos.put_video(street, scenes_of("bikes on a street", "rain"))


class WordEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    """Its texts are words, and so are its images, in UTF-8."""

    def __init__(self, model: str = MODEL, *, unsteady: bool = False) -> None:
        self.model = model
        self.refusals: list[Exception] = []
        """Raised by the next calls of EmbedTexts, one each."""
        self.texts: list[list[str]] = []
        """Of each call of EmbedTexts."""
        self.images: list[list[bytes]] = []
        """Of each call of EmbedImages."""
        self.gate = asyncio.Event()
        """While it is clear, calls wait."""
        self.gate.set()
        self.reached = asyncio.Semaphore(0)
        """Released by each call as it comes."""
        self.left = asyncio.Semaphore(0)
        """Released by each call whose caller goes away while it waits."""
        self._noise = np.random.default_rng(0) if unsteady else None

    async def EmbedTexts(self, request, context):
        self.texts.append(list(request.texts))
        await self._pass()
        if self.refusals:
            raise self.refusals.pop(0)
        return embedder_pb2.EmbedTextsResponse(embeddings=map(self._embed, request.texts))

    async def EmbedImages(self, request, context):
        self.images.append([image.encoded for image in request.images])
        await self._pass()
        for place, image in enumerate(request.images):
            if not image.encoded.isascii():
                raise InvalidInputError(f"images[{place}]: not a JPEG, PNG or WebP file")
        embeddings = [self._embed(image.encoded.decode()).embedding for image in request.images]
        return embedder_pb2.EmbedImagesResponse(embeddings=embeddings)

    async def GetModel(self, request, context):
        model = Model("words", self.model, DIMENSION, 224, MAX_WORDS, 0.0, "cpu", "float32", "torch")
        return embedder_pb2.GetModelResponse(model=convert.model_to(model))

    async def _pass(self) -> None:
        self.reached.release()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.left.release()
            raise

    def _embed(self, text: str) -> embedder_pb2.TextEmbedding:
        vector = word_vector(text)
        if self._noise is not None:
            vector += self._noise.uniform(1e-7, 5e-7, DIMENSION)
        return embedder_pb2.TextEmbedding(
            embedding=convert.embedding_to(vector, self.model), truncated=len(text.split()) > MAX_WORDS
        )


class ToldIndexer(indexer_pb2_grpc.IndexerServiceServicer):
    """Runs each job as the file's name tells: `fail.mp4` fails, `endless.mp4` goes on, `old.mp4` is unchanged.

    Any other succeeds.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, IndexJob] = {}
        self.requests: list[indexer_pb2.IndexVideoRequest] = []
        self.uploads: list[tuple[indexer_pb2.Upload, bytes]] = []
        self.refusals: list[Exception] = []
        """Raised by the next calls of IndexVideo, one each."""
        self.broken_watches: list[Exception] = []
        """Raised by the next calls of WatchIndexJob after their first state, one each."""
        self.watched = asyncio.Event()

    async def IndexVideo(self, request, context):
        self.requests.append(request)
        if self.refusals:
            raise self.refusals.pop(0)
        if "missing" in request.uri:
            raise NotFoundError(f"no file at {request.uri}")
        return indexer_pb2.IndexVideoResponse(job=self._queued(request.uri))

    async def UploadVideo(self, request_iterator, context):
        first, *rest = [request async for request in request_iterator]
        self.uploads.append((first.upload, b"".join(request.chunk for request in rest)))
        return indexer_pb2.UploadVideoResponse(job=self._queued(f"upload:{first.upload.name}"))

    async def WatchIndexJob(self, request, context):
        job = self._job(request.job_id)
        for state in _states(job):
            self.jobs[job.job_id] = state
            yield indexer_pb2.WatchIndexJobResponse(job=convert.job_to(state))
            if self.broken_watches:
                raise self.broken_watches.pop(0)
        self.watched.set()
        if "endless" in job.uri:
            await asyncio.Event().wait()

    async def GetIndexJob(self, request, context):
        return indexer_pb2.GetIndexJobResponse(job=convert.job_to(self._job(request.job_id)))

    async def ListIndexJobs(self, request, context):
        """One job a page, newest first; the token is how many went before."""
        states = {convert.JOB_STATE[state] for state in request.states} or set(JobState)
        jobs = [job for job in reversed(self.jobs.values()) if job.state in states]
        before = int(request.page_token or 0)
        more = str(before + 1) if before + 1 < len(jobs) else ""
        page = map(convert.job_to, jobs[before : before + 1])
        return indexer_pb2.ListIndexJobsResponse(jobs=page, next_page_token=more)

    async def CancelIndexJob(self, request, context):
        job = self._job(request.job_id)
        if job.state.ended:
            raise PreconditionError(f"job {job.job_id} has ended already: it {job.state}")
        self.jobs[job.job_id] = replace(job, state=JobState.CANCELLED, end_time=LONG_AGO)
        return indexer_pb2.CancelIndexJobResponse(job=convert.job_to(self.jobs[job.job_id]))

    async def RestartIndexJob(self, request, context):
        job = self._job(request.job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise PreconditionError(f"job {job.job_id} is {job.state}")
        self.jobs[job.job_id] = replace(job, state=JobState.QUEUED, error="", end_time=None)
        return indexer_pb2.RestartIndexJobResponse(job=convert.job_to(self.jobs[job.job_id]))

    def _queued(self, uri: str) -> indexer_pb2.IndexJob:
        job = IndexJob(
            *(f"job-{len(self.jobs)}", uri, JobState.QUEUED, JobStage.WAITING, 0, 0, "", "", LONG_AGO, LONG_AGO)
        )
        self.jobs[job.job_id] = job
        return convert.job_to(job)

    def _job(self, job_id: str) -> IndexJob:
        if job_id not in self.jobs:
            raise NotFoundError(f"no job {job_id!r}")
        return self.jobs[job_id]


def _states(job: IndexJob) -> Iterator[IndexJob]:
    yield job
    running = replace(job, state=JobState.RUNNING, stage=JobStage.INDEXING, progress_percent=40, scene_count=2)
    yield running
    end = LONG_AGO + timedelta(seconds=1.5)
    if "fail" in job.uri:
        yield replace(running, state=JobState.FAILED, error="not a video: nothing in it can be decoded", end_time=end)
    elif "old" in job.uri:
        yield replace(running, state=JobState.SUCCEEDED, video_id="sha256-ab", unchanged=True, end_time=end)
    elif "endless" not in job.uri:
        yield replace(
            running, state=JobState.SUCCEEDED, progress_percent=100, scene_count=5, video_id="sha256-ab", end_time=end
        )


@asynccontextmanager
async def embedder_at(servicer: WordEmbedder) -> AsyncIterator[str]:
    add = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
    async with serving(EmbedderClient.service, lambda server: add(servicer, server)) as address:
        yield address


@asynccontextmanager
async def indexer_at(servicer: ToldIndexer) -> AsyncIterator[str]:
    add = indexer_pb2_grpc.add_IndexerServiceServicer_to_server
    async with serving(IndexerClient.service, lambda server: add(servicer, server)) as address:
        yield address


@asynccontextmanager
async def search_at(
    embedder_address: str, store_address: str, servicer_type: type[SearchServicer] = SearchServicer
) -> AsyncIterator[str]:
    """The real search service with these peers."""
    async with EmbedderClient(embedder_address) as embedder, StoreClient(store_address) as videos:
        servicer = servicer_type(Search(embedder, CACHED_TEXTS), videos)
        add = search_pb2_grpc.add_SearchServiceServicer_to_server
        async with serving(SearchClient.service, lambda server: add(servicer, server)) as address:
            yield address
