"""The indexer's RPCs."""

import asyncio
from collections.abc import AsyncIterator

from services.common import convert as shared
from services.common.interceptors import Context
from services.indexer import convert
from services.indexer.jobs import Jobs
from services.indexer.runner import Runner
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc


class IndexerServicer(indexer_pb2_grpc.IndexerServiceServicer):
    def __init__(self, jobs: Jobs, runner: Runner) -> None:
        self._jobs = jobs
        self._runner = runner

    async def IndexVideo(
        self, request: indexer_pb2.IndexVideoRequest, context: Context
    ) -> indexer_pb2.IndexVideoResponse:
        job = await self._runner.add(convert.index_request_from(request), request.request_id)
        return indexer_pb2.IndexVideoResponse(job=shared.job_to(job))

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
