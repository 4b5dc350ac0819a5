"""The one table between domain errors and gRPC statuses, for servers and clients alike."""

import grpc

from services.common import errors

STATUS: dict[type[errors.VideosearchError], grpc.StatusCode] = {
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
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

PEER_LOST = "Internal error from Core"
"""How grpc.aio says, with INTERNAL, that a message of a client stream can no longer be sent: the peer is gone."""


def code_of(error: errors.VideosearchError) -> grpc.StatusCode:
    return STATUS[type(error)]


def error_of(failure: grpc.aio.AioRpcError, peer: str) -> errors.VideosearchError | None:
    """The domain error behind a failed call to `peer`, or None for a status that no service sends on purpose."""
    error = errors.UnavailableError if failure.details() == PEER_LOST else _ERROR.get(failure.code())
    details = failure.details() or failure.code().name
    if error in (errors.UnavailableError, errors.DeadlineError):
        return error(f"{peer}: {details}")
    return error(details) if error else None
