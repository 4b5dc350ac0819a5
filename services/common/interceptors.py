"""What happens around every call: its id and deadline are noted, errors become statuses, one line is logged."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from services.common import call, status
from services.common.errors import VideosearchError

log = logging.getLogger("services.rpc")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

OUR_METHODS = "/videosearch."

MAX_MESSAGE = 2000
"""Bytes of an error message."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards our own methods; health and reflection have manners of their own (grpc/grpc issue 28728)."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # the stubs know only handlers of the blocking server
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_METHODS):
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _guard_stream(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                _guard(method, handler.stream_unary), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _guard(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )


def _guard(method: str, handle: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    async def guarded(request: Any, context: Context) -> Any:
        with _logged(method, context):
            try:
                return await handle(request, context)
            except Exception as error:  # noqa: BLE001 - the one place where any failure becomes a status
                await _abort(error, context)

    return guarded


def _guard_stream(
    method: str, handle: Callable[[Any, Context], AsyncIterator[Any]]
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        with _logged(method, context):
            try:
                # gRPC does not close a generator whose caller went away (grpc/grpc PR 42295).
                async with aclosing(handle(request, context)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        yield response
            except Exception as error:  # noqa: BLE001 - as above, for a stream
                await _abort(error, context)

    return guarded


async def _abort(error: Exception, context: Context) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, VideosearchError):
        await context.abort(status.code_of(error), _cut(str(error)))
    log.error("unexpected failure", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")


def _cut(message: str) -> str:
    """A message that fits: gRPC drops a call whose trailers pass 8 KiB, where one byte of ours may take three."""
    data = message.encode(errors="replace")
    return message if len(data) <= MAX_MESSAGE else data[:MAX_MESSAGE].decode(errors="ignore") + " ..."


@contextlib.contextmanager
def _logged(method: str, context: Context) -> Iterator[None]:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    request_id = call.begin(metadata.get(call.REQUEST_ID_KEY, ""), context.time_remaining())
    peer = context.peer()  # asked later, when the caller may be gone, gRPC reads freed memory
    context.set_trailing_metadata(((call.REQUEST_ID_KEY, request_id),))
    started = time.monotonic()
    completed = False
    try:
        yield
        completed = True
    finally:
        code = _code_name(context, completed=completed)
        milliseconds = round((time.monotonic() - started) * 1000, 1)
        log.info("call", extra={"method": method, "code": code, "ms": milliseconds, "peer": peer})


def _code_name(context: Context, *, completed: bool) -> str:
    code = context.code()  # 0 unless the call was aborted
    if isinstance(code, grpc.StatusCode):
        return code.name
    return "OK" if completed else "CANCELLED"
