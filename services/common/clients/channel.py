"""How one service calls another: with a deadline, the request id, and domain errors for failures."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import call, status, tracing
from services.common.addresses import is_balanced
from services.common.clients.credentials import Credentials, Shown
from services.common.connection import channel_options
from services.common.errors import DeadlineError, NotFoundError, PreconditionError, UnavailableError, VideosearchError
from services.common.metrics import PEER_RPC_SECONDS
from services.common.tls import hint

T = TypeVar("T")
Stub = TypeVar("Stub")
Response = TypeVar("Response")

DEFAULT_TIMEOUT_S = 30.0

LONGEST_CALL_S = 86_400.0
"""What takes longer will never end."""

PROMPT_S, MORE_ASKED = 1.0, 4
"""If one of several replicas does not say within that time that it serves, so many more are asked in turn."""

ANONYMOUS = Credentials()


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

    def __init__(self, address: str, credentials: Credentials = ANONYMOUS) -> None:
        """PreconditionError if the credentials cannot be used with this address, or not at all."""
        self.address = address
        self._peer = f"{self.service.rpartition('.')[2]} at {address}"
        try:
            self._shown = Shown(credentials, address)
        except (OSError, ValueError) as error:
            raise PreconditionError(f"the credentials for {self._peer} cannot be used: {error}") from None
        self._closing: set[asyncio.Task[None]] = set()
        self._connect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for closing in self._closing:
            closing.cancel()
        await self._channel.close()

    def _connect(self) -> None:
        self._tls = self._shown.tls
        options = channel_options(self.address, self.service)
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(self.address, self._tls, options=options)
        self._connected = self.stub_type(self._channel)

    def _renew(self) -> None:
        """Connect anew once the certificates have changed; the calls on the connection before go on."""
        if self._shown.tls is not self._tls:
            closing = asyncio.create_task(self._channel.close(LONGEST_CALL_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._connect()

    @property
    def _stub(self) -> Stub:
        self._renew()
        return self._connected

    async def serving(self, timeout_s: float = 5.0) -> bool:
        """Whether the service says that it can answer; UnavailableError if it cannot be reached.

        Of an address with several replicas, whether one of them does; UnavailableError if none.
        """
        self._renew()
        asked = [asyncio.create_task(self._serves(timeout_s))]
        try:
            if is_balanced(self.address):
                await asyncio.wait(asked, timeout=PROMPT_S)
                if not asked[0].done() or asked[0].exception():
                    asked += [asyncio.create_task(self._serves(timeout_s)) for _ in range(MORE_ASKED)]
            for answer in asyncio.as_completed(asked):
                with contextlib.suppress(UnavailableError, DeadlineError):
                    return await answer
            return asked[0].result()
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _serves(self, timeout_s: float) -> bool:
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
        with _seen(method) as metadata:
            running: Any = method(
                request, timeout=call.timeout_s(timeout_s), metadata=(*metadata, *self._shown.metadata)
            )
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

    async def _stream(self, method: Callable[..., Any], request: Any) -> AsyncGenerator[Any, None]:
        """A server stream, which may last as long as its caller wants, and the present call. To be closed."""
        with _seen(method) as metadata:
            timeout_s = call.timeout_s(LONGEST_CALL_S)
            stream = method(request, timeout=timeout_s, metadata=(*metadata, *self._shown.metadata))
            try:
                async for response in stream:
                    yield response
            except grpc.aio.AioRpcError as failure:
                raise self._error(failure) from failure
            finally:
                stream.cancel()  # no effect on one that has ended

    def _error(self, failure: grpc.aio.AioRpcError) -> Exception:
        peer = self._peer + hint(failure.details() or "", over_tls=self._tls is not None)
        return status.error_of(failure, peer) or failure


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


@contextlib.contextmanager
def _seen(method: Any) -> Iterator[tuple[tuple[str, str], ...]]:
    """While a call lasts: yields what it hands down of the present one, and measures it."""
    name = method._method.decode()  # noqa: SLF001 - nothing public of a stub says it
    started = time.perf_counter()
    code = grpc.StatusCode.OK.name
    # Never the present span: a stream ends in whatever task lets go of it, and what is done between is not its part.
    span = tracing.begin(name, "CLIENT")
    try:
        request_id = call.request_id()
        yield (*(((call.REQUEST_ID_KEY, request_id),) if request_id else ()), *tracing.metadata(span))
    except VideosearchError as error:
        code = status.code_of(error).name
        raise
    except grpc.aio.AioRpcError as failure:
        code = failure.code().name
        raise
    except BaseException:
        code = grpc.StatusCode.CANCELLED.name
        raise
    finally:
        tracing.end(span, code)
        PEER_RPC_SECONDS.labels(name, code).observe(time.perf_counter() - started)
