"""How one service calls another: with a deadline, the request id, and domain errors for failures."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import call, status
from services.common.call import MAX_MESSAGE_BYTES
from services.common.errors import NotFoundError, UnavailableError

T = TypeVar("T")
Stub = TypeVar("Stub")
Response = TypeVar("Response")

DEFAULT_TIMEOUT_S = 30.0

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted peer is found again within seconds
    ("grpc.enable_http_proxy", 0),  # peers are inside; a proxy set for the outside must not take their calls
]


class Page(NamedTuple, Generic[T]):
    """A part of a list."""

    items: tuple[T, ...]
    next_page_token: str
    """Empty on the last page."""


class Client(Generic[Stub]):
    """A connection to one service; subclasses have a method for each of its RPCs."""

    service: str
    """Full name of the service, for health checks."""
    stub_type: Callable[[grpc.aio.Channel], Stub]

    def __init__(self, address: str) -> None:
        self.address = address
        self._peer = f"{self.service.rpartition('.')[2]} at {address}"
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._stub = self.stub_type(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def serving(self, timeout_s: float = 5.0) -> bool:
        """Whether the service says that it can answer; UnavailableError if it cannot be reached."""
        stub: Any = health_pb2_grpc.HealthStub(self._channel)  # its types lack the methods
        request = health_pb2.HealthCheckRequest(service=self.service)
        try:
            response = await self._call(stub.Check, request, timeout_s)
        except NotFoundError:
            raise UnavailableError(f"{self._peer}: another service answers at this address") from None
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def _call(
        self, method: Callable[..., Awaitable[Response]], request: Any, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Response:
        """One call; `request` is a message, or an async iterator of messages for a client stream."""
        running: Any = method(request, timeout=call.timeout_s(timeout_s), metadata=_metadata())
        ends: list[grpc.aio.AioRpcError] = []
        if isinstance(request, AsyncIterator):
            running.add_done_callback(lambda ended: ends.append(_end_of(ended)))
        try:
            return cast(Response, await running)
        except grpc.aio.AioRpcError as failure:
            # When a server ends a client stream early, what it says and that a message could not be sent any more
            # overwrite each other in any order (https://github.com/grpc/grpc/issues/36066).
            told = (end for end in (failure, *ends) if end.details() != status.PEER_LOST)
            raise self._error(next(told, failure)) from failure

    async def _stream(self, method: Callable[..., Any], request: Any) -> AsyncIterator[Any]:
        """A server stream, which may last as long as its caller wants."""
        stream = method(request, metadata=_metadata())
        try:
            async for response in stream:
                yield response
        except grpc.aio.AioRpcError as failure:
            raise self._error(failure) from failure
        finally:
            stream.cancel()  # no effect on one that has ended

    def _error(self, failure: grpc.aio.AioRpcError) -> Exception:
        return status.error_of(failure, self._peer) or failure


def _end_of(ended: Any) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(_at_once(ended.code()), nothing, nothing, _at_once(ended.details()))


def _at_once(known: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as result:
        return result.value
    raise RuntimeError("the call has not ended")


def _metadata() -> tuple[tuple[str, str], ...]:
    request_id = call.request_id()
    return ((call.REQUEST_ID_KEY, request_id),) if request_id else ()
