"""The indexer, as its callers use it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, Unpack

from services.common import convert
from services.common.clients.channel import Client, Page
from services.common.jobs import IndexJob, JobState
from services.common.media import Detection
from videosearch.v1 import indexer_pb2, indexer_pb2_grpc

UPLOAD_TIMEOUT_S = 86_400.0
"""What takes longer will never end."""

UPLOAD_CHUNK_BYTES = 1 << 20


class Wanted(TypedDict, total=False):
    """What a job can be told; what is left out means what IndexVideoRequest says of it."""

    video_id: str
    title: str
    metadata: Mapping[str, str] | None
    detection: Detection | None
    request_id: str
    force: bool


class IndexerClient(Client["indexer_pb2_grpc.IndexerServiceAsyncStub"]):
    service = "videosearch.v1.IndexerService"
    stub_type = indexer_pb2_grpc.IndexerServiceStub

    async def index_video(self, uri: str, **wanted: Unpack[Wanted]) -> IndexJob:
        request = indexer_pb2.IndexVideoRequest(uri=uri, **_fields(wanted))
        response = await self._call(self._stub.IndexVideo, request)
        return convert.job_from(response.job)

    async def upload_video(self, path: Path, **wanted: Unpack[Wanted]) -> IndexJob:
        """Send a file of this machine; OSError if it cannot be opened."""
        upload = indexer_pb2.Upload(name=path.name, **_fields(wanted))
        with path.open("rb") as file:  # here, because gRPC tells no errors of an iterator of messages
            response = await self._call(self._stub.UploadVideo, _upload_messages(file, upload), UPLOAD_TIMEOUT_S)
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
        async with aclosing(self._stream(self._stub.WatchIndexJob, request)) as responses:
            async for response in responses:
                yield convert.job_from(response.job)

    async def restart_job(self, job_id: str) -> IndexJob:
        response = await self._call(self._stub.RestartIndexJob, indexer_pb2.RestartIndexJobRequest(job_id=job_id))
        return convert.job_from(response.job)

    async def cancel_job(self, job_id: str) -> IndexJob:
        response = await self._call(self._stub.CancelIndexJob, indexer_pb2.CancelIndexJobRequest(job_id=job_id))
        return convert.job_from(response.job)


def _fields(wanted: Wanted) -> dict[str, Any]:
    detection = wanted.get("detection")
    return {**wanted, "detection": convert.detection_to(detection) if detection else None}


async def _upload_messages(file: BinaryIO, upload: indexer_pb2.Upload) -> AsyncIterator[indexer_pb2.UploadVideoRequest]:
    yield indexer_pb2.UploadVideoRequest(upload=upload)
    while chunk := await asyncio.to_thread(file.read, UPLOAD_CHUNK_BYTES):
        yield indexer_pb2.UploadVideoRequest(chunk=chunk)
