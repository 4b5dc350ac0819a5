"""`make up`: the four services until Ctrl-C, their logs labelled.

They listen at their usual ports and keep their data under `data/`, unless the environment has settings that say
otherwise (VIDEOSEARCH_STORE_LISTEN, VIDEOSEARCH_STORE_DATA_FOLDER and so on).
"""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from services.common.settings import EMBEDDER_PORT, INDEXER_PORT, SEARCH_PORT, STORE_PORT, CallerSettings
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
    serving = asyncio.create_task(_serve(_stack()))
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    stopping.cancel()


def _stack() -> Stack:
    addresses = {
        name: os.environ.get(f"VIDEOSEARCH_{name.upper()}_LISTEN", f"127.0.0.1:{port}") for name, port in PORTS.items()
    }
    # People index their own files: what is under the home folder or the present one.
    roots = {"VIDEOSEARCH_INDEXER_VIDEO_ROOTS": f"{Path.home()}:{Path.cwd()}"}
    set_outside = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("VIDEOSEARCH_") and not name.endswith("_ADDRESS")  # they call each other, and nobody else
    }
    shown = CallerSettings().credentials  # the services may ask for them
    return Stack(Path("data"), log=_print, addresses=addresses, settings=roots | set_outside, credentials=shown)


async def _serve(stack: Stack) -> None:
    async with stack:
        print('ready: in another terminal, try  .venv/bin/videosearch index FILE  and  search "TEXT"', flush=True)
        await stack.until_one_stops()


if __name__ == "__main__":
    try:
        asyncio.run(_up())
    except StackError as error:
        sys.exit(f"stopped all services: {error}")
