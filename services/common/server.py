"""How a service runs: bind, become ready, serve until told to stop, drain."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common import logs
from services.common.call import MAX_MESSAGE_BYTES
from services.common.errors import FatalError, StartupError
from services.common.interceptors import CallInterceptor
from services.common.settings import ServerSettings

log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServerSettings)


class Server:
    """A gRPC server for one service, with health and (by setting) reflection.

    Entered, it is bound and NOT_SERVING; `ready()` turns it to SERVING and `not_ready()` back;
    leaving it drains running calls.
    """

    def __init__(self, settings: ServerSettings, service_name: str, add: Callable[[grpc.aio.Server], None]) -> None:
        self._settings = settings
        self._service_name = service_name
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor()],
            options=[
                ("grpc.so_reuseport", 0),  # else a second server on a taken port starts and steals calls
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ],
        )
        add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.reflection:
            names = (service_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self.port = 0

    async def __aenter__(self) -> Self:
        try:
            self.port = self._server.add_insecure_port(self._settings.listen)
        except RuntimeError as error:
            raise StartupError(f"cannot listen on {self._settings.listen}: is the port taken? ({error})") from None
        await self._set_health(serving=False)
        await self._server.start()
        log.info("listening", extra={"address": self._settings.listen, "port": self.port})
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
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.grace_s)
        log.info("stopped")

    async def _set_health(self, *, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", self._service_name):
            await self._health.set(name, state)


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
        asyncio.run(serve(settings))
    except StartupError as error:
        sys.exit(f"cannot start: {error}")
    except FatalError as error:
        sys.exit(f"cannot go on: {error}")
