"""Requests of the indexer, checked, as domain values."""

from services.common import convert
from services.common.errors import InvalidInputError
from services.common.jobs import JobState
from services.indexer.jobs import IndexRequest
from videosearch.v1 import indexer_pb2

MAX_REQUEST_ID_LENGTH = 128


def index_request_from(request: indexer_pb2.IndexVideoRequest) -> IndexRequest:
    if not request.uri:
        raise InvalidInputError("uri is empty; give an absolute path or an http(s) URL")
    convert.text_from(request.request_id, MAX_REQUEST_ID_LENGTH, "request_id")
    return IndexRequest(
        uri=convert.video_text_from(request.uri, "uri"),
        video_id=convert.video_id_from(request.video_id) if request.video_id else "",
        title=convert.video_text_from(request.title, "title"),
        metadata=convert.metadata_from(request.metadata),
        detection=convert.detection_from(request.detection),
    )


def states_from(request: indexer_pb2.ListIndexJobsRequest) -> tuple[JobState, ...]:
    return tuple(convert.enum_from(convert.JOB_STATE, state, "states") for state in request.states)


def token_from(page_token: str) -> int | None:
    """The sequence number that a page goes on from."""
    return convert.page_number_from(page_token, "ListIndexJobs")


def token_to(sequence: int | None) -> str:
    return "" if sequence is None else str(sequence)
