"""The server of grpc.aio, made so that no call ends it.

That of grpcio 1.85 stops at a call of a method that it does not know whose name is no UTF-8, and as it stops it frees
what its core still writes to (`_server_main_loop` in its `aio/server.pyx.pxi`).
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # nothing public makes it another server


class _LastingServer(cygrpc.AioServer):  # type: ignore[misc]
    """Answers calls of unknown methods itself: they do not come to the main loop."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kept: set[asyncio.Task[Any]] = set()

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """Of the next call of a method, or of any unknown one."""
        if method is None:
            return self._keep(self._answer_unknown())
        return asyncio.shield(self._keep(self._next_call(method)))

    async def _answer_unknown(self) -> None:
        while True:
            self._keep(_refuse(await asyncio.shield(self._keep(self._next_call(None)))))

    async def _next_call(self, method: bytes | None) -> Any:
        return await (self._request_call() if method is None else self._request_registered_call(method))

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Until it is done, whoever stops waiting for it: the core writes to what it holds."""
        task = asyncio.get_running_loop().create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._kept.discard(task)
        if not task.cancelled():
            task.exception()  # as the server ends, nobody else asks for it, and asyncio would log that


async def _refuse(unknown: Any) -> None:
    code, first = grpc.StatusCode.UNIMPLEMENTED.value[0], cygrpc.SendInitialMetadataOperation((), 0)
    with contextlib.suppress(grpc.aio.InternalError):  # the caller has gone
        await cygrpc._send_error_status_from_server(  # noqa: SLF001 - as in grpcio itself
            unknown, code, "there is no such method", (), first, asyncio.get_running_loop()
        )


def server(interceptor: grpc.aio.ServerInterceptor, options: list[tuple[str, Any]]) -> grpc.aio.Server:
    """As grpc.aio.server makes it, of the class above: it serves registered methods only, as generated code has."""
    usual = cygrpc.AioServer
    cygrpc.AioServer = _LastingServer  # there is no other way to say it, and other servers stay as they are
    try:
        return grpc.aio.server(interceptors=[interceptor], options=options)
    finally:
        cygrpc.AioServer = usual
