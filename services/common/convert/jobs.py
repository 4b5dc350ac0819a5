"""Indexing jobs."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.convert.values import duration_from, duration_to, enum_from, enum_to, time_to
from services.common.jobs import IndexJob, JobStage, JobState
from videosearch.v1 import indexer_pb2

JOB_STATE = {
    indexer_pb2.INDEX_JOB_STATE_QUEUED: JobState.QUEUED,
    indexer_pb2.INDEX_JOB_STATE_RUNNING: JobState.RUNNING,
    indexer_pb2.INDEX_JOB_STATE_SUCCEEDED: JobState.SUCCEEDED,
    indexer_pb2.INDEX_JOB_STATE_FAILED: JobState.FAILED,
    indexer_pb2.INDEX_JOB_STATE_CANCELLED: JobState.CANCELLED,
}
JOB_STAGE = {
    indexer_pb2.INDEX_JOB_STAGE_WAITING: JobStage.WAITING,
    indexer_pb2.INDEX_JOB_STAGE_READING: JobStage.READING,
    indexer_pb2.INDEX_JOB_STAGE_INDEXING: JobStage.INDEXING,
    indexer_pb2.INDEX_JOB_STAGE_STORING: JobStage.STORING,
}


def job_to(job: IndexJob) -> indexer_pb2.IndexJob:
    return indexer_pb2.IndexJob(
        job_id=job.job_id,
        uri=job.uri,
        state=enum_to(JOB_STATE, job.state),
        stage=enum_to(JOB_STAGE, job.stage),
        progress_percent=job.progress_percent,
        scene_count=job.scene_count,
        video_id=job.video_id,
        error=job.error,
        create_time=time_to(job.create_time),
        update_time=time_to(job.update_time),
        end_time=_time_to(job.end_time),
        attempt_count=job.attempt_count,
        next_attempt_time=_time_to(job.next_attempt_time),
        unchanged=job.unchanged,
        decoded_duration=duration_to(job.decoded_ns),
        duration=None if job.duration_ns is None else duration_to(job.duration_ns),
        frame_count=job.frame_count,
    )


def job_from(job: indexer_pb2.IndexJob) -> IndexJob:
    return IndexJob(
        job_id=job.job_id,
        uri=job.uri,
        state=enum_from(JOB_STATE, job.state, "state"),
        stage=JOB_STAGE.get(job.stage, JobStage.WAITING),  # an indexer of another version may have other stages
        progress_percent=job.progress_percent,
        scene_count=job.scene_count,
        video_id=job.video_id,
        error=job.error,
        create_time=job.create_time.ToDatetime(UTC),
        update_time=job.update_time.ToDatetime(UTC),
        end_time=job.end_time.ToDatetime(UTC) if job.HasField("end_time") else None,
        attempt_count=job.attempt_count,
        next_attempt_time=job.next_attempt_time.ToDatetime(UTC) if job.HasField("next_attempt_time") else None,
        unchanged=job.unchanged,
        decoded_ns=duration_from(job.decoded_duration, "decoded_duration"),
        duration_ns=duration_from(job.duration, "duration") if job.HasField("duration") else None,
        frame_count=job.frame_count,
    )


def _time_to(time: datetime | None) -> Timestamp | None:
    return None if time is None else time_to(time)
