"""The indexer's RPCs."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from services.common import convert as shared
from services.common.errors import DeadlineError
from services.common.interceptors import Context
from services.indexer import convert
from services.indexer.jobs import Jobs
from services.indexer.runner import Runner
from services.indexer.uploads import Uploads
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc

T = TypeVar("T")

SILENCE_S = 60.0
"""An upload that brings nothing for so long is given up."""


class IndexerServicer(indexer_pb2_grpc.IndexerServiceServicer):
    def __init__(self, jobs: Jobs, runner: Runner, uploads: Uploads) -> None:
        self._jobs = jobs
        self._runner = runner
        self._uploads = uploads

    async def IndexVideo(
        self, request: indexer_pb2.IndexVideoRequest, context: Context
    ) -> indexer_pb2.IndexVideoResponse:
        job = await self._runner.add(convert.index_request_from(request), request.request_id)
        return indexer_pb2.IndexVideoResponse(job=shared.job_to(job))

    async def UploadVideo(
        self, request_iterator: AsyncIterator[indexer_pb2.UploadVideoRequest], context: Context
    ) -> indexer_pb2.UploadVideoResponse:
        messages = _timely(request_iterator)
        wanted, upload = convert.upload_from(await anext(messages, indexer_pb2.UploadVideoRequest()))
        chunks = _chunks(messages, context)
        job = await self._uploads.index(wanted, upload.request_id, chunks, upload.content_sha256)
        return indexer_pb2.UploadVideoResponse(job=shared.job_to(job))

    async def GetIndexJob(
        self, request: indexer_pb2.GetIndexJobRequest, context: Context
    ) -> indexer_pb2.GetIndexJobResponse:
        job = await asyncio.to_thread(self._jobs.get, request.job_id)
        return indexer_pb2.GetIndexJobResponse(job=shared.job_to(job))

    async def ListIndexJobs(
        self, request: indexer_pb2.ListIndexJobsRequest, context: Context
    ) -> indexer_pb2.ListIndexJobsResponse:
        size, before = shared.page_size_from(request.page_size), convert.token_from(request.page_token)
        jobs, following = await asyncio.to_thread(self._jobs.page, size, before, convert.states_from(request))
        return indexer_pb2.ListIndexJobsResponse(
            jobs=map(shared.job_to, jobs), next_page_token=convert.token_to(following)
        )

    async def WatchIndexJob(
        self, request: indexer_pb2.WatchIndexJobRequest, context: Context
    ) -> AsyncIterator[indexer_pb2.WatchIndexJobResponse]:
        async for job in self._runner.watch(request.job_id):
            yield indexer_pb2.WatchIndexJobResponse(job=shared.job_to(job))

    async def CancelIndexJob(
        self, request: indexer_pb2.CancelIndexJobRequest, context: Context
    ) -> indexer_pb2.CancelIndexJobResponse:
        job = await self._runner.cancel(request.job_id)
        return indexer_pb2.CancelIndexJobResponse(job=shared.job_to(job))

    async def RestartIndexJob(
        self, request: indexer_pb2.RestartIndexJobRequest, context: Context
    ) -> indexer_pb2.RestartIndexJobResponse:
        job = await self._runner.restart(request.job_id)
        return indexer_pb2.RestartIndexJobResponse(job=shared.job_to(job))


async def _timely(messages: AsyncIterator[T]) -> AsyncIterator[T]:
    """The messages of a client that is not silent for too long."""
    incoming = aiter(messages)
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await anext(incoming)
        except TimeoutError:
            raise DeadlineError(f"nothing came for {SILENCE_S:g} s") from None
        except StopAsyncIteration:
            return
        yield message


async def _chunks(messages: AsyncIterator[indexer_pb2.UploadVideoRequest], context: Context) -> AsyncIterator[bytes]:
    async for message in messages:
        yield convert.chunk_from(message)
    # In grpc.aio a cancelled stream may end as a complete one does. A word to the client tells them apart: if the
    # client has gone, this raises, and the upload has broken off.
    await context.send_initial_metadata(())
