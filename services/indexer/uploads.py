"""Videos that callers send: taken in whole and checked before their job is."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator

from services.common.errors import InvalidInputError, VideosearchError, within
from services.common.jobs import IndexJob
from services.indexer.detectors import refuse_if_missing
from services.indexer.jobs import IndexRequest, Jobs
from services.indexer.metrics import RECEIVED_BYTES
from services.indexer.runner import Runner
from services.indexer.spool import Part, Spool


class Uploads:
    def __init__(self, spool: Spool, jobs: Jobs, runner: Runner) -> None:
        self._spool = spool
        self._jobs = jobs
        self._runner = runner

    async def index(
        self, request: IndexRequest, request_id: str, chunks: AsyncIterator[bytes], sha256: str
    ) -> IndexJob:
        """Take the bytes in and queue their job; a repeated `request_id` is answered without them.

        An upload that breaks off leaves nothing. `sha256` is that of all bytes, or empty.
        """
        with within("upload"):
            known = await asyncio.to_thread(self._jobs.of_request, request, request_id)
            if known:
                return known
            refuse_if_missing(request.detection.detector)
        await asyncio.to_thread(self._jobs.refuse_when_full)  # before the bytes have come for nothing
        job_id = uuid.uuid4().hex
        try:
            await self._receive(job_id, chunks, sha256)
        except BaseException:
            await asyncio.to_thread(self._spool.discard, job_id)
            raise
        # From here on bytes and job stay together, even if the caller goes away.
        return await asyncio.shield(self._queue(request, request_id, job_id))

    async def _receive(self, job_id: str, chunks: AsyncIterator[bytes], sha256: str) -> None:
        part, digest = Part(self._spool, job_id), hashlib.sha256()
        received = RECEIVED_BYTES.labels("upload")
        await asyncio.to_thread(part.begin)
        async for chunk in chunks:
            await asyncio.to_thread(part.append, chunk)
            received.inc(len(chunk))
            await asyncio.to_thread(digest.update, chunk)
        if not part.size:
            raise InvalidInputError("chunk is empty in all messages: the upload has no bytes")
        if sha256 not in ("", digest.hexdigest()):
            raise InvalidInputError(f"upload.content_sha256 is not that of the bytes received, {digest.hexdigest()}")
        await asyncio.to_thread(part.finish)

    async def _queue(self, request: IndexRequest, request_id: str, job_id: str) -> IndexJob:
        try:
            job = await self._runner.add(request, request_id, job_id)
        except VideosearchError:
            await asyncio.to_thread(self._spool.discard, job_id)
            raise
        if job.job_id != job_id:  # another call with this request_id was quicker
            await asyncio.to_thread(self._spool.discard, job_id)
        return job
