"""One pass over a video: what the analysis tells and what the embedder makes of it, brought together scene by scene."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from services.common.jobs import JobStage
from services.common.media import Matrix, Model, Sample, Scene, Segment, Vector, Video
from services.common.stages import stage
from services.indexer import metrics
from services.indexer.analysis import Decoded, Event, SampledScene, Task
from services.indexer.batches import Batches, Embedder
from services.indexer.checkpoints import Basis, Kept
from services.indexer.child import analyze
from services.indexer.frames import StreamInfo
from services.indexer.images import ImageRule, Images
from services.indexer.jobs import IndexRequest
from services.indexer.leases import Progress
from services.indexer.limits import Limits
from services.indexer.sources import SourceFile


class Attempt(Protocol):
    """A job at work, and what becomes known of it."""

    @property
    def job_id(self) -> str: ...

    @property
    def request(self) -> IndexRequest: ...

    async def report(self, progress: Progress) -> None: ...

    async def kept(self, basis: Basis) -> Kept: ...

    async def keep(self, basis: Basis, kept: Kept) -> None: ...


@dataclass(frozen=True, slots=True)
class _FoundScene:
    """A scene whose samples are being embedded."""

    segment: Segment
    offsets_ns: tuple[int, ...]
    images: tuple[bytes, ...]


class Pass:
    def __init__(self, attempt: Attempt, source: SourceFile, video_id: str, model: Model, rule: ImageRule) -> None:
        self._attempt = attempt
        self._source = source
        self._video_id = video_id
        self._model = model
        self._rule = rule
        self._basis = Basis(source.sha256, model.fingerprint, rule.basis)
        self._kept = Kept([], 0)
        self._info = StreamInfo(0, 0, "", None, None)
        self._decoded = Decoded(0, 0, 0)
        self._found: deque[_FoundScene] = deque()
        self._vectors: list[Vector] = []
        self.scenes: list[Scene] = []

    async def run(self, embedder: Embedder, limits: Limits, patience_s: float) -> None:
        """Find and embed all scenes that earlier attempts have not kept."""
        self._kept = await self._attempt.kept(self._basis)
        self.scenes = self._kept.scenes
        taken_bytes = sum(len(sample.image) for scene in self.scenes for sample in scene.samples)
        self._images = Images(self._rule.keep, taken_bytes)
        resume = self.scenes[-1].segment if self.scenes else None
        side = max(self._model.image_size, self._rule.min_side)
        task = Task(self._source.path, self._attempt.request.detection, side, limits, resume)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._follow(task, Batches(embedder, self._model, patience_s, tasks, self._embedded))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def progress(self, stage: JobStage) -> Progress:
        duration_ns = self._info.duration_ns
        return Progress(
            stage,
            progress_percent=min(99, 100 * self._decoded.decoded_ns // duration_ns) if duration_ns else 0,
            scene_count=len(self.scenes) + len(self._found),
            video_id=self._video_id,
            decoded_ns=self._decoded.decoded_ns,
            duration_ns=duration_ns,
            frame_count=self._decoded.frames,
        )

    def video(self) -> Video:
        request = self._attempt.request
        return Video(
            video_id=self._video_id,
            uri=request.uri,
            title=request.title,
            content_sha256=self._source.sha256,
            model=self._model.fingerprint,
            decoded_ns=self._decoded.decoded_ns,
            duration_ns=self._info.duration_ns,
            decode_errors=self._decode_errors,
            width=self._info.width,
            height=self._info.height,
            codec=self._info.codec,
            frame_rate=self._info.frame_rate,
            detection=request.detection,
            metadata=request.metadata,
            scene_count=len(self.scenes),
        )

    @property
    def _decode_errors(self) -> int:
        return self._kept.decode_errors + self._decoded.decode_errors

    async def _follow(self, task: Task, batches: Batches) -> None:
        with stage("decode"):
            async with analyze(task) as events:
                async for event in events:
                    await self._take(event, batches)
        await batches.flush()

    async def _take(self, event: Event, batches: Batches) -> None:
        match event:
            case StreamInfo():
                self._info = event
            case Decoded():
                metrics.FRAMES.inc(max(0, event.frames - self._decoded.frames))
                self._decoded = event
                await self._attempt.report(self.progress(JobStage.INDEXING))
            case SampledScene(segment, samples):
                images = await asyncio.to_thread(self._images.of, segment, samples)
                self._found.append(_FoundScene(segment, tuple(sample.offset_ns for sample in samples), images))
                await batches.add([sample.picture for sample in samples])

    async def _embedded(self, matrix: Matrix) -> None:
        """Complete the scenes whose samples are all embedded, and keep them for the next attempt."""
        self._vectors.extend(matrix)
        first = len(self.scenes)
        while self._found and len(self._vectors) >= len(self._found[0].offsets_ns):
            found = self._found.popleft()
            samples = tuple(map(Sample, found.offsets_ns, self._vectors, found.images))
            del self._vectors[: len(samples)]
            self.scenes.append(Scene(len(self.scenes), found.segment, samples))
        if complete := self.scenes[first:]:
            metrics.SCENES.inc(len(complete))
            await self._attempt.keep(self._basis, Kept(complete, self._decode_errors))
