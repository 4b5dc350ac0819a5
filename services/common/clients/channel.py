"""How one service calls another: with a deadline, the request id, and domain errors for failures."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import call, status
from services.common.errors import NotFoundError, UnavailableError
from services.common.server import MAX_MESSAGE_BYTES

Response = TypeVar("Response")

DEFAULT_TIMEOUT_S = 30.0

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 2000),  # a restarted peer is found again within seconds
    ("grpc.enable_http_proxy", 0),  # peers are inside; a proxy set for the outside must not take their calls
]


class Client:
    """A connection to one service; subclasses have a method for each of its RPCs."""

    service: str
    """Full name of the service, for health checks."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._peer = f"{self.service.rpartition('.')[2]} at {address}"
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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
        try:
            return await method(request, timeout=call.timeout_s(timeout_s), metadata=_metadata())
        except grpc.aio.AioRpcError as failure:
            raise self._error(failure) from failure

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


def _metadata() -> tuple[tuple[str, str], ...]:
    request_id = call.request_id()
    return ((call.REQUEST_ID_KEY, request_id),) if request_id else ()
