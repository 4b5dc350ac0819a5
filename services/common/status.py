"""The one table between domain errors and gRPC statuses, for servers and clients alike, and the details beside them."""

import math
import re

import grpc
from google.protobuf import any_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common import call, errors

STATUS: dict[type[errors.VideosearchError], grpc.StatusCode] = {
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    errors.OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.DataLossError: grpc.StatusCode.DATA_LOSS,
}

_ERROR = {code: error for error, code in STATUS.items()} | {
    # No service sends these on purpose: they are what is seen of a peer that stops in the middle of a call.
    grpc.StatusCode.CANCELLED: errors.UnavailableError,
    grpc.StatusCode.UNKNOWN: errors.UnavailableError,
    # Nor this: the program at that address is not the one expected.
    grpc.StatusCode.UNIMPLEMENTED: errors.UnavailableError,
}

_TOLD_WITH_PEER = (errors.UnavailableError, errors.DeadlineError, errors.UnauthenticatedError, errors.ForbiddenError)
"""What says nothing of the request: which peer it was matters."""

PEER_LOST = "Internal error from Core"
"""How grpc.aio says, with INTERNAL, that a message of a client stream can no longer be sent: the peer is gone."""

TOO_LARGE = "message larger than max"
"""How gRPC says, with RESOURCE_EXHAUSTED, that a message is beyond a limit: it will be so the next time too."""

DETAILS_KEY = "grpc-status-details-bin"
"""Of the trailing metadata where clients of all languages look for a google.rpc.Status."""

DOMAIN = "videosearch"
"""Of our reasons, in google.rpc.ErrorInfo."""

MAX_MESSAGE = 1000
"""Bytes of an error message: trailers have 8 KiB, where a byte of it may take three, and the details have it again."""

_PATH = re.compile(r"[a-z_0-9]+(\[\d+\])?(\.[a-z_0-9]+(\[\d+\])?)*(?=[ :])")


def code_of(error: errors.VideosearchError) -> grpc.StatusCode:
    return STATUS[type(error)]


def message_of(error: errors.VideosearchError) -> str:
    """The error's text, cut where it would not fit."""
    data = str(error).encode(errors="replace")
    cut = data[:MAX_MESSAGE].decode(errors="ignore")
    return cut if len(data) <= MAX_MESSAGE else cut + " ..."


def details_of(
    error: errors.VideosearchError, request: Descriptor | None = None
) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata for programs: `google.rpc.Status` with ErrorInfo, and BadRequest or RetryInfo where they fit.

    `request` is the type of the call's request, whose fields the error may be about. The form is that of
    https://google.aip.dev/193 and https://grpc.io/docs/guides/error/.
    """
    message = message_of(error)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=_reason(type(error)), domain=DOMAIN, metadata={"request_id": call.request_id()}
        )
    ]
    if isinstance(error, errors.InvalidInputError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=_field(message, request), description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation] if violation.field else []))
    if isinstance(error, errors.OverloadedError):
        delay = Duration()
        delay.FromNanoseconds(math.ceil(error.retry_after_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    code: int = code_of(error).value[0]
    return rpc_status.to_status(status_pb2.Status(code=code, message=message, details=packed)).trailing_metadata


def error_of(failure: grpc.aio.AioRpcError, peer: str) -> errors.VideosearchError | None:
    """The domain error behind a failed call to `peer`, or None for a status that no service sends on purpose."""
    details = failure.details() or failure.code().name
    error = _ERROR.get(failure.code())
    if details == PEER_LOST:
        error = errors.UnavailableError
    elif error is errors.OverloadedError and TOO_LARGE in details:
        error = errors.InvalidInputError
    if error in _TOLD_WITH_PEER:
        return error(f"{peer}: {details}")
    if error is errors.OverloadedError and (delay_s := _retry_delay_s(failure)) is not None:
        return errors.OverloadedError(details, delay_s)
    return error(details) if error else None


def _reason(error: type[errors.VideosearchError]) -> str:
    """INVALID_INPUT for InvalidInputError."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__.removesuffix("Error")).upper()


def _field(message: str, request: Descriptor | None) -> str:
    """The path that the message begins with, if it is that of a field of the request."""
    path = _PATH.match(message)
    if path is None:
        return ""
    descriptor = request
    for name in re.sub(r"\[\d+\]", "", path[0]).split("."):
        if descriptor is None or name not in descriptor.fields_by_name:
            return ""
        descriptor = descriptor.fields_by_name[name].message_type
    return path[0]


def _retry_delay_s(failure: grpc.aio.AioRpcError) -> float | None:
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return _delay_s_in(value)
    return None


def _delay_s_in(status: bytes) -> float | None:
    try:
        details = status_pb2.Status.FromString(status).details
    except DecodeError:  # another program answers there
        return None
    hint = error_details_pb2.RetryInfo()
    return next((hint.retry_delay.ToNanoseconds() / 1e9 for detail in details if detail.Unpack(hint)), None)
