"""The analysis of a video in a process of its own, which a bad file may take down.

`python -m services.indexer.child` is that process: it takes a task as its argument and writes events to its standard
output, each a pickle behind its length. `analyze` starts it and reads them.
"""

import asyncio
import os
import pickle
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from services.common.errors import InvalidInputError
from services.indexer.analysis import Analyzer, Event, Refused, Task

LENGTH = struct.Struct("<Q")

SILENCE_S = 120.0
"""A child that is at work says so every half second; one that has been silent for so long hangs."""


@asynccontextmanager
async def analyze(task: Task, silence_s: float = SILENCE_S) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a child process that analyzes the file; the child ends with the context.

    The iterator raises InvalidInputError if the file is refused, takes the child down or hangs it.
    """
    arguments = (sys.executable, "-m", "services.indexer.child", pickle.dumps(task).hex())
    child = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    try:
        yield _events(child, task.path.name, silence_s)
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()  # reads what is left: without that, a full pipe would keep `wait` waiting


async def _events(child: asyncio.subprocess.Process, name: str, silence_s: float) -> AsyncIterator[Event]:
    while (event := await _read_in_time(child, name, silence_s)) is not None:
        if isinstance(event, Refused):
            raise InvalidInputError(event.reason)
        yield event
    if code := await child.wait():
        if code > 0:
            raise InvalidInputError(f"{name} cannot be analyzed; the indexer's log has the details")
        raise InvalidInputError(
            f"decoding {name} took the decoder down (signal {-code}): the file is damaged or hostile, or memory ran out"
        )


async def _read_in_time(child: asyncio.subprocess.Process, name: str, silence_s: float) -> Event | None:
    try:
        async with asyncio.timeout(silence_s):
            return await _read(child)
    except TimeoutError:
        raise InvalidInputError(f"decoding {name} has not gone on for {silence_s:g} s; the file is damaged") from None


async def _read(child: asyncio.subprocess.Process) -> Event | None:
    """The next event, or None at the end, be it a proper one or not."""
    if child.stdout is None:
        return None
    try:
        (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
        event: Event = pickle.loads(await child.stdout.readexactly(length))  # noqa: S301 - from our own child
    except asyncio.IncompleteReadError:
        return None
    return event


def main() -> None:
    """Analyze in this process, for a parent that reads our standard output."""
    task: Task = pickle.loads(bytes.fromhex(sys.argv[1]))  # noqa: S301 - from our own parent
    # Whatever a library prints goes to the log, not between the events.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            for event in Analyzer(task).events():
                _write(out, event)
        except InvalidInputError as error:
            _write(out, Refused(str(error)))
        except BrokenPipeError:
            os._exit(1)  # the parent is gone, and with it the one who would read why


def _write(out: BinaryIO, event: Event) -> None:
    data = pickle.dumps(event, protocol=pickle.HIGHEST_PROTOCOL)
    out.write(LENGTH.pack(len(data)) + data)
    out.flush()


if __name__ == "__main__":
    main()
