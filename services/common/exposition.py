"""Serves metrics to Prometheus, on a port of their own: who may see them need not be who may call."""

import contextlib
from collections.abc import Iterator

from prometheus_client import disable_created_metrics, start_http_server

from services.common.errors import StartupError

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody asks for


@contextlib.contextmanager
def serving(listen: str, setting: str) -> Iterator[int]:
    """Serve `/metrics` at an address and port, from a thread; yields the port. StartupError, with `setting`, if not."""
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"))
    except (OSError, ValueError) as error:
        raise StartupError(f"cannot serve metrics on {setting}={listen}: is the port taken? ({error})") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
