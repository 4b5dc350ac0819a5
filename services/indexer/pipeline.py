"""From a source to a video in the store: is there anything to do, one pass over the video, one put at the end."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

from services.common.errors import DataLossError, NotFoundError
from services.common.jobs import JobStage
from services.common.media import Model, Scene, Video
from services.common.retry import patiently
from services.common.stages import stage
from services.indexer import metrics
from services.indexer.batches import Embedder
from services.indexer.detectors import refuse_if_missing
from services.indexer.images import ImageRule
from services.indexer.jobs import IndexRequest
from services.indexer.leases import Progress
from services.indexer.limits import Limits
from services.indexer.passes import Attempt, Pass
from services.indexer.sources import SourceFile, Sources

VIDEO_ID_LENGTH = 32
"""Hexadecimal digits of the file's digest that name a video: 128 bits, out of reach of accident and malice."""

PUT_GRACE_S = 5.0
"""How long a cancel waits for a put that is under way."""


class Store(Protocol):
    async def video(self, video_id: str) -> Video: ...

    async def put_video(self, video: Video, scenes: Sequence[Scene]) -> Video: ...

    async def update_video(self, video: Video, fields: Sequence[str]) -> Video: ...


class Pipeline:
    def __init__(
        self,
        sources: Sources,
        embedder: Embedder,
        store: Store,
        patience_s: float,
        limits: Limits,
        rule: ImageRule,
    ) -> None:
        self._sources = sources
        self._embedder = embedder
        self._store = store
        self._patience_s = patience_s
        self._limits = limits
        self._rule = rule
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By video id: of two jobs for one video, the second may find that there is nothing left to do."""

    def check(self, request: IndexRequest) -> None:
        """Refuse a request that cannot succeed; see Sources.check and refuse_if_missing."""
        refuse_if_missing(request.detection.detector)
        self._sources.check(request.uri)

    def discard(self, job_id: str) -> None:
        """Remove the files of a job that needs them no more."""
        self._sources.discard(job_id)

    def retain(self, job_ids: Collection[str]) -> None:
        """Remove the files of all jobs but these."""
        self._sources.retain(job_ids)

    async def run(self, attempt: Attempt) -> None:
        """Index one video; cancelled at any time before the put is through, it leaves the store as it was."""
        request = attempt.request
        await attempt.report(Progress(JobStage.READING))
        async with self._sources.open(request.uri, attempt.job_id, fresh=request.force) as source:
            video_id = request.video_id or source.sha256[:VIDEO_ID_LENGTH]
            async with self._turns.setdefault(video_id, asyncio.Lock()):
                await self._index(attempt, source, video_id)

    async def _index(self, attempt: Attempt, source: SourceFile, video_id: str) -> None:
        request = attempt.request
        model = await patiently(self._embedder.model, self._patience_s)
        stored = None if request.force else await self._stored(video_id)
        if stored and _is_same(stored, source, model, request):
            await self._follow(stored, request)
            metrics.VIDEOS.labels("unchanged").inc()
            await attempt.report(Progress(JobStage.STORING, 100, stored.scene_count, video_id, unchanged=True))
            return
        pass_ = Pass(attempt, source, video_id, model, self._rule)
        await pass_.run(self._embedder, self._limits, self._patience_s)
        await asyncio.to_thread(source.refuse_if_changed)
        await attempt.report(pass_.progress(JobStage.STORING))
        video = await self._described(pass_.video(), source.name)
        with stage("store"):
            await patiently(lambda: self._put(video, pass_.scenes), self._patience_s)
        metrics.VIDEOS.labels("indexed").inc()

    async def _stored(self, video_id: str) -> Video | None:
        """The video as the store has it, if it can be read."""
        try:
            return await patiently(lambda: self._store.video(video_id), self._patience_s)
        except (NotFoundError, DataLossError):
            return None

    async def _follow(self, stored: Video, request: IndexRequest) -> None:
        """Let an unchanged video have the uri, and the title and metadata if there are any, of the request."""
        wanted: dict[str, Any] = {"uri": request.uri, "title": request.title, "metadata": request.metadata}
        changes = {field: value for field, value in wanted.items() if value and value != getattr(stored, field)}
        if changes:
            video = replace(stored, **changes)
            await patiently(lambda: self._store.update_video(video, tuple(changes)), self._patience_s)

    async def _described(self, video: Video, name: str) -> Video:
        """The video with a title and metadata: those asked for, or else those that it has in the store."""
        if video.title and video.metadata:
            return video
        stored = await self._stored(video.video_id)
        title = video.title or (stored and stored.title) or name
        return replace(video, title=title, metadata=video.metadata or (stored.metadata if stored else {}))

    async def _put(self, video: Video, scenes: Sequence[Scene]) -> None:
        """Put a video. A cancel waits a moment for what becomes of it, and is forgotten if the put has succeeded."""
        putting = asyncio.ensure_future(self._store.put_video(video, scenes))
        try:
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):  # the service stops, and waits no longer
                await asyncio.wait({putting}, timeout=PUT_GRACE_S)
            if not putting.done() or putting.exception():
                putting.cancel()
                raise


def _is_same(stored: Video, source: SourceFile, model: Model, request: IndexRequest) -> bool:
    """Whether indexing would make the same scenes and embeddings again."""
    made_from = (stored.content_sha256, stored.model, stored.detection)
    return made_from == (source.sha256, model.fingerprint, request.detection)
