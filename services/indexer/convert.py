"""Requests of the indexer, checked, as domain values."""

import re

from services.common import convert
from services.common.errors import InvalidInputError, within
from services.common.jobs import JobState
from services.common.media import NANOSECONDS, Detection
from services.indexer.jobs import UPLOAD, IndexRequest
from videosearch.v1 import indexer_pb2, media_pb2

MAX_REQUEST_ID_LENGTH = 128
MAX_NAME_LENGTH = 255
SHA256 = re.compile("[0-9a-f]{64}")


def index_request_from(request: indexer_pb2.IndexVideoRequest) -> IndexRequest:
    if not request.uri:
        raise InvalidInputError("uri is empty; give an absolute path or a URL")
    return _request_from(request, convert.video_text_from(request.uri, "uri"))


def upload_from(message: indexer_pb2.UploadVideoRequest) -> tuple[IndexRequest, indexer_pb2.Upload]:
    """The first message of an upload: the job that is wanted, and all that it says."""
    if not message.HasField("upload"):
        raise InvalidInputError("upload must be set in the first message of UploadVideo, which has no bytes")
    upload = message.upload
    if not 1 <= len(upload.name) <= MAX_NAME_LENGTH or set(upload.name) & {"/", "\0"}:
        raise InvalidInputError(f'upload.name must have 1 to {MAX_NAME_LENGTH} characters, and neither "/" nor NUL')
    if upload.content_sha256 and not SHA256.fullmatch(upload.content_sha256):
        raise InvalidInputError("upload.content_sha256 must be 64 lower-case hexadecimal digits, or empty")
    with within("upload"):
        return _request_from(upload, UPLOAD + upload.name), upload


def chunk_from(message: indexer_pb2.UploadVideoRequest) -> bytes:
    if not message.HasField("chunk"):
        raise InvalidInputError("chunk must be set in each message of UploadVideo but the first")
    return message.chunk


def _request_from(request: indexer_pb2.IndexVideoRequest | indexer_pb2.Upload, uri: str) -> IndexRequest:
    convert.text_from(request.request_id, MAX_REQUEST_ID_LENGTH, "request_id")
    return IndexRequest(
        uri=uri,
        video_id=convert.video_id_from(request.video_id) if request.video_id else "",
        title=convert.video_text_from(request.title, "title"),
        metadata=convert.metadata_from(request.metadata),
        detection=_detection_from(request.detection),
        force=request.force,
    )


def _detection_from(message: media_pb2.SceneDetection) -> Detection:
    detection = convert.detection_from(message)
    if detection.max_scene_ns < 2 * detection.min_scene_ns:
        lengths = f"{detection.max_scene_ns / NANOSECONDS:g} s and {detection.min_scene_ns / NANOSECONDS:g} s"
        raise InvalidInputError(
            f"detection.max_scene_duration must be at least twice min_scene_duration; they are {lengths}"
        )
    return detection


def states_from(request: indexer_pb2.ListIndexJobsRequest) -> tuple[JobState, ...]:
    return tuple(
        convert.enum_from(convert.JOB_STATE, state, f"states[{place}]") for place, state in enumerate(request.states)
    )


def token_from(page_token: str) -> int | None:
    """The sequence number that a page goes on from."""
    return convert.page_number_from(page_token, "ListIndexJobs")


def token_to(sequence: int | None) -> str:
    return "" if sequence is None else str(sequence)
