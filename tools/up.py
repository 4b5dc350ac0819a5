"""`make up`: the four services at their usual ports until Ctrl-C, their logs labelled."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from services.common.settings import EMBEDDER_PORT, INDEXER_PORT, SEARCH_PORT, STORE_PORT
from tools.stack import Stack, StackError

PORTS = {"embedder": EMBEDDER_PORT, "store": STORE_PORT, "indexer": INDEXER_PORT, "search": SEARCH_PORT}
COLORS = {"embedder": 35, "store": 34, "indexer": 32, "search": 36}


def _print(name: str, line: str) -> None:
    label = f"{name:<8}"
    print(f"\033[{COLORS[name]}m{label}\033[0m {line}" if sys.stdout.isatty() else f"{label} {line}", flush=True)


async def _up() -> None:
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    # People index their own files: what is under the home folder or the present one, unless the environment says.
    roots = os.environ.get("VIDEOSEARCH_INDEXER_VIDEO_ROOTS") or f"{Path.home()}:{Path.cwd()}"
    addresses = {name: f"127.0.0.1:{port}" for name, port in PORTS.items()}
    settings = {"VIDEOSEARCH_INDEXER_VIDEO_ROOTS": roots}
    serving = asyncio.create_task(_serve(Stack(Path("data"), log=_print, addresses=addresses, settings=settings)))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    stopping.cancel()


async def _serve(stack: Stack) -> None:
    async with stack:
        print('ready: in another terminal, try  .venv/bin/videosearch index FILE  and  search "TEXT"', flush=True)
        await stack.until_one_stops()


if __name__ == "__main__":
    try:
        asyncio.run(_up())
    except StackError as error:
        sys.exit(f"stopped all services: {error}")
