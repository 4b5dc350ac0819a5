"""From a source to a video in the store: analysis in a child process, embedding alongside, one put at the end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from services.common.errors import PreconditionError
from services.common.jobs import JobStage
from services.common.media import FrameEmbeddings, Matrix, Model, Sample, Scene, Segment, Video
from services.common.retry import patiently
from services.indexer.analysis import Decoded, Event, SampledScene, Task
from services.indexer.child import analyze
from services.indexer.frames import StreamInfo
from services.indexer.jobs import IndexRequest, Progress
from services.indexer.sampling import Picture
from services.indexer.sources import SourceFile, Sources

BATCH = 16
"""Most pictures a call: where the bundled model's throughput levels off."""

BATCH_BYTES = 8 << 20
"""Enough for BATCH pictures of usual sizes; half of the message limit, which one more picture cannot reach."""

BATCHES_IN_FLIGHT = 2
"""One that the model works on and one that waits for it; more would only fill memory."""

VIDEO_ID_LENGTH = 32
"""Hexadecimal digits of the file's digest that name a video: 128 bits, out of reach of accident and malice."""

Report = Callable[[Progress], Awaitable[None]]


class Embedder(Protocol):
    async def model(self) -> Model: ...

    async def embed_frames(self, frames: Sequence[Picture]) -> FrameEmbeddings: ...


class Store(Protocol):
    async def put_video(self, video: Video, scenes: Sequence[Scene]) -> Video: ...


class Pipeline:
    def __init__(self, sources: Sources, embedder: Embedder, store: Store, patience_s: float) -> None:
        self._sources = sources
        self._embedder = embedder
        self._store = store
        self._patience_s = patience_s

    def check(self, request: IndexRequest) -> None:
        """Refuse a request that cannot succeed; see Sources.check."""
        self._sources.check(request.uri)

    async def run(self, request: IndexRequest, report: Report) -> None:
        """Index one video; cancelled at any time before the put, it leaves nothing behind."""
        await report(Progress(JobStage.READING))
        async with self._sources.open(request.uri) as source:
            video_id = request.video_id or source.sha256[:VIDEO_ID_LENGTH]
            model = await patiently(self._embedder.model, self._patience_s)
            pass_ = _Pass(source, request, video_id, model)
            try:
                async with asyncio.TaskGroup() as tasks:
                    embeddings = _Embeddings(self._embedder, model, self._patience_s, tasks)
                    await pass_.follow(embeddings, report)
            except BaseExceptionGroup as failures:
                raise failures.exceptions[0] from None
            await asyncio.to_thread(source.refuse_if_changed)
        await report(pass_.progress(JobStage.STORING))
        video, scenes = pass_.result(embeddings.matrix())
        await patiently(lambda: self._store.put_video(video, scenes), self._patience_s)


class _Embeddings:
    """Embeds pictures in batches, several in flight, and keeps the results in the order of the pictures."""

    def __init__(self, embedder: Embedder, model: Model, patience_s: float, tasks: asyncio.TaskGroup) -> None:
        self._embedder = embedder
        self._model = model
        self._patience_s = patience_s
        self._tasks = tasks
        self._free = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self._waiting: list[Picture] = []
        self._batches: list[asyncio.Task[Matrix]] = []

    async def add(self, pictures: Sequence[Picture]) -> None:
        """Take pictures on; waits while enough batches are in flight, so that decoding cannot run ahead."""
        for picture in pictures:
            self._waiting.append(picture)
            if len(self._waiting) == BATCH or sum(waiting.nbytes for waiting in self._waiting) >= BATCH_BYTES:
                await self.flush()

    async def flush(self) -> None:
        """Send what is waiting for its batch to fill."""
        batch, self._waiting = self._waiting, []
        if batch:
            await self._free.acquire()
            self._batches.append(self._tasks.create_task(self._embed(batch)))

    def matrix(self) -> Matrix:
        """All embeddings, (pictures, D); for when the tasks have ended."""
        return np.concatenate([batch.result() for batch in self._batches])

    async def _embed(self, batch: list[Picture]) -> Matrix:
        try:
            result = await patiently(lambda: self._embedder.embed_frames(batch), self._patience_s)
        finally:
            self._free.release()
        if result.model != self._model.fingerprint:
            raise PreconditionError("the embedder changed its model while the video was indexed; index it again")
        return result.matrix


@dataclass(frozen=True, slots=True)
class _FoundScene:
    segment: Segment
    offsets_ns: tuple[int, ...]


class _Pass:
    """What one pass over a video has brought together so far."""

    def __init__(self, source: SourceFile, request: IndexRequest, video_id: str, model: Model) -> None:
        self._source = source
        self._request = request
        self._video_id = video_id
        self._model = model
        self._info: StreamInfo | None = None
        self._decoded = Decoded(0, 0)
        self._scenes: list[_FoundScene] = []

    async def follow(self, embeddings: _Embeddings, report: Report) -> None:
        """Take the events of the analysis as they come."""
        task = Task(self._source.path, self._request.detection, self._model.image_size)
        async with analyze(task) as events:
            async for event in events:
                await self._take(event, embeddings)
                if isinstance(event, Decoded):
                    await report(self.progress(JobStage.INDEXING))
        await embeddings.flush()

    async def _take(self, event: Event, embeddings: _Embeddings) -> None:
        match event:
            case StreamInfo():
                self._info = event
            case Decoded():
                self._decoded = event
            case SampledScene(segment, samples):
                self._scenes.append(_FoundScene(segment, tuple(sample.offset_ns for sample in samples)))
                await embeddings.add([sample.picture for sample in samples])

    def progress(self, stage: JobStage) -> Progress:
        duration_ns = (self._info and self._info.duration_ns) or 0
        percent = min(99, 100 * self._decoded.decoded_ns // duration_ns) if duration_ns else 0
        return Progress(stage, percent, len(self._scenes), self._video_id)

    def result(self, matrix: Matrix) -> tuple[Video, list[Scene]]:
        """The video and its scenes; the rows of `matrix` are the samples of all scenes, in order."""
        rows = iter(matrix)
        scenes = [
            Scene(ordinal, scene.segment, tuple(Sample(offset_ns, next(rows)) for offset_ns in scene.offsets_ns))
            for ordinal, scene in enumerate(self._scenes)
        ]
        return self._video(), scenes

    def _video(self) -> Video:
        info = self._info or StreamInfo(0, 0, "", None, None)
        return Video(
            video_id=self._video_id,
            uri=self._request.uri,
            title=self._request.title or self._source.name,
            content_sha256=self._source.sha256,
            model=self._model.fingerprint,
            decoded_ns=self._decoded.decoded_ns,
            duration_ns=info.duration_ns,
            decode_errors=self._decoded.decode_errors,
            width=info.width,
            height=info.height,
            codec=info.codec,
            frame_rate=info.frame_rate,
            detection=self._request.detection,
            metadata=self._request.metadata,
            scene_count=len(self._scenes),
        )
