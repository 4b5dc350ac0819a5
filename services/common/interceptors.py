"""What happens around every call: its caller may make it, errors become statuses, it is counted, one line is logged."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from services.common import access, call, metrics, status, tracing
from services.common.access import Tokens
from services.common.admission import Admission
from services.common.errors import (
    ForbiddenError,
    InvalidInputError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
    VideosearchError,
)
from services.common.methods import LOOK, METHODS

log = logging.getLogger("services.rpc")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Handle: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Read: TypeAlias = Callable[[bytes], Any]
"""What makes a message of bytes."""

HEALTH = "/grpc.health.v1.Health/"
"""Open to all: who asks has no token, and learns no more than that the service is there."""

HEALTH_BYTES = 1024
"""For the name of a service, which is kept as long as a stranger watches its health."""

NOT_AGAIN = (("grpc-retry-pushback-ms", "-1"),)
"""To the client's gRPC: it need not ask again at once what we refuse on purpose, only what was lost on the way
(https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback)."""


SOON_S = 0.05
"""A caller whose deadline passes cancels its call, which may be known here a little before the deadline is."""

LOGGED_ERROR = 500
"""Characters of an error in the line of its call; it may quote what the caller has sent."""


class _TooLargeError(Exception):
    """As gRPC itself says it of messages beyond the limit of all methods, so that there is one answer to both."""


@dataclass(slots=True)
class _Seen:
    """What is known of a call."""

    metadata: dict[str, str]
    peer: str
    caller: str = ""
    """By the name of its token, or else by that in its certificate."""
    admitted: bool = False
    error: str = ""
    """Why it failed."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards our own methods, and reflection from strangers.

    Health checks are only read: they and reflection have manners of their own (grpc/grpc issue 28728).
    """

    def __init__(self, tokens: Tokens, admission: Admission) -> None:
        self._tokens = tokens
        self._admission = admission

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # the stubs know only handlers of the blocking server
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        if method.startswith(HEALTH):
            return _of_health(handler, method)
        if method not in METHODS:
            return self._of_others(handler, method)
        read, write = _reader(method, handler.request_deserializer), handler.response_serializer
        if handler.response_streaming:
            guarded = self._guarded(method, _written(handler.unary_stream), read)
            return grpc.unary_stream_rpc_method_handler(guarded, None, write)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._guarded(method, handler.stream_unary, read), None, write)
        return grpc.unary_unary_rpc_method_handler(self._guarded(method, handler.unary_unary, read), None, write)

    def _of_others(self, handler: Any, method: str) -> Any:
        """Reflection, for those who have a token where tokens are asked for."""
        read = _reader(method, handler.request_deserializer)

        async def guarded(requests: Any, context: Context) -> None:
            with _seen(method, context) as seen:
                try:
                    self._authorize(method, seen, context)
                    seen.admitted = True
                    await _written(handler.stream_stream)(_message(requests, read), context)
                except (VideosearchError, _TooLargeError) as error:
                    seen.error = str(error)
                    await _abort(error, context, None)

        return grpc.stream_stream_rpc_method_handler(guarded, None, handler.response_serializer)

    def _guarded(self, method: str, handle: Handle, read: Read) -> Handle:
        async def guarded(request: Any, context: Context) -> Any:
            with _seen(method, context) as seen:
                try:
                    self._authorize(method, seen, context)
                    with self._admission.entered(seen.caller or _host(seen.peer)):
                        seen.admitted = True
                        return await handle(_message(request, read), context)
                except Exception as error:  # noqa: BLE001 - the one place where any failure becomes a status
                    seen.error = str(error) if isinstance(error, VideosearchError) else repr(error)
                    await _abort(_not_of_caller(error, method, seen), context, _request_type(method))

        return guarded

    def _authorize(self, method: str, seen: _Seen, context: Context) -> None:
        caller = self._tokens.caller(seen.metadata.get("authorization", ""))
        seen.caller = caller.name or _common_name(context)
        access.allow(caller, method)


def _of_health(handler: Any, method: str) -> Any:
    """Health checks, which would fail at what is no message."""
    read, write = _reader(method, handler.request_deserializer), handler.response_serializer

    def readable(handle: Handle) -> Handle:
        async def checked(request: bytes, context: Context) -> Any:
            try:
                message = read(request)
            except (InvalidInputError, _TooLargeError) as error:
                await _abort(error, context, None)
            return await handle(message, context)

        return checked

    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(readable(handler.unary_stream), None, write)
    return grpc.unary_unary_rpc_method_handler(readable(handler.unary_unary), None, write)


def _reader(method: str, deserializer: Read) -> Read:
    """Used by handlers, which can answer the call: gRPC's own deserializers run before it is known who calls.

    A message takes up to thirty times the memory of its bytes.
    """
    most = HEALTH_BYTES if method.startswith(HEALTH) else METHODS.get(method, LOOK).request_bytes

    def read(data: bytes) -> Any:
        if len(data) > most:
            raise _TooLargeError(f"SERVER: Received {status.TOO_LARGE} ({len(data)} vs. {most})")
        try:
            return deserializer(data)
        except DecodeError:
            reason = "the request is no message of the type that this method takes, or nests too deep"
            raise InvalidInputError(reason) from None

    return read


def _message(request: bytes | AsyncIterator[bytes], read: Read) -> Any:
    """The request, or the stream of them."""
    return _messages(request, read) if isinstance(request, AsyncIterator) else read(request)


async def _messages(requests: AsyncIterator[bytes], read: Read) -> AsyncIterator[Any]:
    async for request in requests:
        yield read(request)


def _written(handle: Callable[[Any, Context], AsyncIterator[Any]]) -> Handle:
    """A handler that yields responses, as one that writes them.

    gRPC does not close a generator whose caller went away (grpc/grpc PR 42295).
    """

    async def write(request: Any, context: Context) -> None:
        async with aclosing(handle(request, context)) as responses:  # type: ignore[type-var]
            async for response in responses:
                await context.write(response)

    return write


def _not_of_caller(error: Exception, method: str, seen: _Seen) -> Exception:
    """A peer that refuses the token of this service says nothing of its caller's, which was admitted."""
    if not seen.admitted or not isinstance(error, UnauthenticatedError | ForbiddenError):
        return error
    service = method.split("/")[1].rpartition(".")[2]
    log.warning("own token refused", extra={"reason": str(error)})
    return PreconditionError(f"{service} itself is refused by {error}")


async def _abort(error: Exception, context: Context, request: Descriptor | None) -> None:
    if isinstance(error, grpc.aio.AbortError | grpc.aio.InternalError):
        raise error
    if isinstance(error, _TooLargeError):
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
    if not isinstance(error, VideosearchError):
        log.error("unexpected failure", exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")
    trailing = (*(context.trailing_metadata() or ()), *status.details_of(error, request))
    if isinstance(error, UnavailableError):
        trailing = (*trailing, *NOT_AGAIN)
    await context.abort(status.code_of(error), status.message_of(error), trailing)


@contextlib.contextmanager
def _seen(method: str, context: Context) -> Iterator[_Seen]:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    present = call.begin(metadata.get(call.REQUEST_ID_KEY, ""), context.time_remaining())
    seen = _Seen(metadata, context.peer())  # asked later, when the caller may be gone, gRPC reads freed memory
    context.set_trailing_metadata(((call.REQUEST_ID_KEY, present.request_id),))
    started = time.monotonic()
    running = metrics.RPCS_RUNNING.labels(method)
    running.inc()
    completed = False
    span = tracing.begin(method, "SERVER", metadata)
    with tracing.present(span):
        try:
            yield seen
            completed = True
        except grpc.aio.InternalError:  # of gRPC: nothing can be sent any more, because the caller has gone
            raise asyncio.CancelledError from None
        finally:
            present.over = True
            running.dec()
            code = _code_name(context, present, completed=completed)
            tracing.end(span, code)
            _tell(method, code, time.monotonic() - started, seen)


def _tell(method: str, code: str, seconds: float, seen: _Seen) -> None:
    metrics.RPC_SECONDS.labels(method, code).observe(seconds)
    if not seen.admitted:
        metrics.RPCS_REFUSED.labels(method, code).inc()
    known = {"caller": seen.caller, "error": seen.error[:LOGGED_ERROR]}
    fields = {"method": method, "code": code, "ms": round(seconds * 1000, 1), "peer": seen.peer}
    log.info("call", extra=fields | {name: value for name, value in known.items() if value})


def _code_name(context: Context, present: call.Call, *, completed: bool) -> str:
    code = context.code()  # 0 unless the call was aborted
    if isinstance(code, grpc.StatusCode):
        return code.name
    if completed:
        return "OK"
    return "DEADLINE_EXCEEDED" if present.deadline - time.monotonic() < SOON_S else "CANCELLED"


def _common_name(context: Context) -> str:
    """Of the caller's certificate, or "" if it has shown none."""
    names = context.auth_context().get("x509_common_name", ())
    return next((name.decode(errors="replace") for name in names), "")


def _host(peer: str) -> str:
    """`ipv4:10.0.0.1` of `ipv4:10.0.0.1:34567`: a caller without a name is told by where it calls from."""
    return peer.rpartition(":")[0]


def _request_type(method: str) -> Descriptor:
    found: Descriptor = descriptor_pool.Default().FindMethodByName(method[1:].replace("/", ".")).input_type
    return found
