"""The indexer, as its callers use it."""

from collections.abc import AsyncIterator, Mapping, Sequence

from services.common import convert
from services.common.clients.channel import Client, Page
from services.common.jobs import IndexJob, JobState
from services.common.media import Detection
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc


class IndexerClient(Client["indexer_pb2_grpc.IndexerServiceAsyncStub"]):
    service = "videosearch.v1.IndexerService"
    stub_type = indexer_pb2_grpc.IndexerServiceStub

    async def index_video(
        self,
        uri: str,
        *,
        video_id: str = "",
        title: str = "",
        metadata: Mapping[str, str] | None = None,
        detection: Detection | None = None,
        request_id: str = "",
    ) -> IndexJob:
        """Start a job; empty values mean what IndexVideoRequest says of them."""
        request = indexer_pb2.IndexVideoRequest(
            uri=uri,
            video_id=video_id,
            title=title,
            metadata=metadata,
            detection=convert.detection_to(detection) if detection else None,
            request_id=request_id,
        )
        response = await self._call(self._stub.IndexVideo, request)
        return convert.job_from(response.job)

    async def job(self, job_id: str) -> IndexJob:
        response = await self._call(self._stub.GetIndexJob, indexer_pb2.GetIndexJobRequest(job_id=job_id))
        return convert.job_from(response.job)

    async def jobs(self, page_size: int = 0, page_token: str = "", states: Sequence[JobState] = ()) -> Page[IndexJob]:
        request = indexer_pb2.ListIndexJobsRequest(
            page_size=page_size,
            page_token=page_token,
            states=[convert.enum_to(convert.JOB_STATE, state) for state in states],
        )
        response = await self._call(self._stub.ListIndexJobs, request)
        return Page(tuple(map(convert.job_from, response.jobs)), response.next_page_token)

    async def watch_job(self, job_id: str) -> AsyncIterator[IndexJob]:
        """The job's states: the present one at once, then each change, until it has ended."""
        request = indexer_pb2.WatchIndexJobRequest(job_id=job_id)
        async for response in self._stream(self._stub.WatchIndexJob, request):
            yield convert.job_from(response.job)

    async def cancel_job(self, job_id: str) -> IndexJob:
        response = await self._call(self._stub.CancelIndexJob, indexer_pb2.CancelIndexJobRequest(job_id=job_id))
        return convert.job_from(response.job)
