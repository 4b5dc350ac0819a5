"""How a service runs: bind, become ready, serve until told to stop, drain."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common import exposition, lasting, logs, metrics, tracing
from services.common.access import Tokens
from services.common.addresses import is_local
from services.common.admission import Admission, CallLimits
from services.common.connection import SERVER_OPTIONS
from services.common.errors import FatalError, PreconditionError, StartupError
from services.common.interceptors import CallInterceptor
from services.common.settings import ServerSettings
from services.common.tls import server_credentials

log = logging.getLogger(__name__)

LIVENESS = "liveness"
"""The health of this name says that the server answers at all, while it loads too."""

LAST_WORDS_S = 0.1
"""Until those who watch the health have been told that it ends."""

S = TypeVar("S", bound=ServerSettings)


class Server:
    """A gRPC server for one service, with health, metrics and (by setting) reflection, TLS and tokens.

    Entered, it is bound and NOT_SERVING; `ready()` turns it to SERVING and `not_ready()` back;
    leaving it drains running calls.
    """

    def __init__(self, settings: ServerSettings, service_name: str, add: Callable[[grpc.aio.Server], None]) -> None:
        """StartupError if what the settings say of TLS or tokens cannot be had, or is not safe."""
        self._settings = settings
        self._service_name = service_name
        self._health = _Health("", service_name, LIVENESS)
        self._tls = _tls(settings)
        tokens = _tokens(settings)
        self._open = not tokens and not settings.tls_client_ca_file
        limits = CallLimits(settings.max_calls, settings.max_calls_per_caller, settings.max_calls_per_second_per_caller)
        self._interceptor = CallInterceptor(tokens, Admission(limits))
        self._add = add
        self._server = self._made()
        self._left = AsyncExitStack()
        self.port = 0
        self.metrics_port = 0

    async def __aenter__(self) -> Self:
        listen = self._settings.listen
        self.port = self._bound(listen)
        if self._settings.metrics_listen:
            setting = self._settings.variable("metrics_listen")
            self.metrics_port = self._left.enter_context(exposition.serving(self._settings.metrics_listen, setting))
        await self._set_health(serving=False)
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        where = {"address": listen, "port": self.port, "metrics_port": self.metrics_port, "tls": self._tls is not None}
        log.info("listening", extra=where)
        if self._open and not is_local(listen):
            log.warning("open to all", extra={"address": listen, "why": "no tokens are set, and no client authority"})
        return self

    async def ready(self) -> None:
        """Say that calls can be answered."""
        await self._set_health(serving=True)
        log.info("serving", extra={"service": self._service_name, "port": self.port})

    async def not_ready(self) -> None:
        """Take `ready` back: calls would fail at present."""
        await self._set_health(serving=False)
        log.warning("not serving", extra={"service": self._service_name, "port": self.port})

    async def __aexit__(self, *_: object) -> None:
        log.info("draining", extra={"grace_s": self._settings.grace_s})
        metrics.SERVING.set(0)
        await self._health.enter_graceful_shutdown()
        await self._health.leave()  # first, so that clients of several replicas call the others from now on
        await self._server.stop(self._settings.grace_s)
        await self._left.aclose()
        log.info("stopped")

    def _made(self) -> grpc.aio.Server:
        server = lasting.server(self._interceptor, SERVER_OPTIONS)
        self._add(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            names = (self._service_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        return server

    def _bound(self, listen: str) -> int:
        """The port that the gRPC server takes there."""
        try:
            if self._tls:
                return self._server.add_secure_port(listen, self._tls)
            return self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise StartupError(f"cannot listen on {listen}: is the port taken? ({error})") from None

    async def _set_health(self, *, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        metrics.SERVING.set(serving)
        for name in ("", self._service_name):
            await self._health.set(name, state)


class _Health(health.aio.HealthServicer):
    """Watching never ends by itself: whoever watches would hold the drain for the whole grace."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names
        self._watching: set[asyncio.Task[Any]] = set()

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """The base, which has none, would fail."""
        statuses = {
            name: await self.Check(health_pb2.HealthCheckRequest(service=name), context) for name in self._names
        }
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than its stubs

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802 - gRPC's name
        watching = asyncio.ensure_future(super().Watch(request, context))
        self._watching.add(watching)
        try:
            await asyncio.wait((watching,))  # gRPC never answers a handler that ends as cancelled
            if not watching.cancelled():
                watching.result()
        finally:
            self._watching.discard(watching)
            watching.cancel()

    async def leave(self) -> None:
        """End the watching, once what was set last is told."""
        if self._watching:
            await asyncio.sleep(LAST_WORDS_S)
        for task in self._watching:
            task.cancel()


def _tls(settings: ServerSettings) -> grpc.ServerCredentials | None:
    identity = settings.identity
    if identity is None:
        if settings.tls_client_ca_file:
            raise StartupError("VIDEOSEARCH_TLS_CLIENT_CA_FILE needs VIDEOSEARCH_TLS_CERTIFICATE_FILE and its key")
        return None
    try:
        return server_credentials(identity, settings.tls_client_ca_file)
    except (OSError, ValueError) as error:
        raise StartupError(f"cannot serve TLS: {error}") from None


def _tokens(settings: ServerSettings) -> Tokens:
    try:
        tokens = Tokens(settings.tokens.get_secret_value(), settings.tokens_file)
    except (OSError, ValueError) as error:
        raise StartupError(f"cannot read tokens: {error}") from None
    if tokens and not (settings.identity or settings.tokens_over_plaintext or is_local(settings.listen)):
        raise StartupError(
            f"tokens would come to {settings.listen} without TLS: set VIDEOSEARCH_TLS_CERTIFICATE_FILE and its key, "
            "or, if everybody on the way may read them, VIDEOSEARCH_TOKENS_OVER_PLAINTEXT=true"
        )
    return tokens


async def until_stopped(work: Coroutine[Any, Any, object]) -> None:
    """Do `work` until SIGTERM or SIGINT, and raise what it raises. Work that is done sooner is no reason to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            await stopping
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait((working, stopping))


def run(settings_type: type[S], serve: Callable[[S], Coroutine[Any, Any, None]]) -> None:
    """The main function of a service: read the settings, serve, and leave with one line if it cannot start or go on."""
    try:
        settings = settings_type.load()
        logs.configure(settings.log_format, settings.log_level)
        settings.log_once()
        if settings.tracing:
            tracing.configure(settings_type.__module__.split(".")[1])
        asyncio.run(serve(settings))
    except (StartupError, PreconditionError) as error:
        sys.exit(f"cannot start: {error}")
    except FatalError as error:
        sys.exit(f"cannot go on: {error}")
    finally:
        tracing.stop()
