"""The analysis of a video in a process of its own, which a bad file may take down: `decoder`, seen from the indexer."""

import asyncio
import logging
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, cast, get_args

from services.common.errors import InvalidInputError
from services.indexer.analysis import Event, Refused, Task
from services.indexer.messages import LENGTH, decode, encode

log = logging.getLogger(__name__)

ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "OMP_NUM_THREADS")
"""What the child gets of the service's own variables, which may hold secrets."""

LONGEST_MESSAGE_BYTES = 256 << 20
LONGEST_REASON = 1000
LAST_WORDS_BYTES = 4096

OUT_OF_MEMORY = re.compile(rb"\bmemory\b|MemoryError|bad_alloc|Resource temporarily unavailable", re.IGNORECASE)
"""The last words of Python, PyAV, OpenCV, torch, OpenBLAS and C++ if there is none, be it for data or for a thread."""


@asynccontextmanager
async def analyze(task: Task) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a child process that analyzes the file; the child ends with the context.

    The iterator raises InvalidInputError if the file is refused, takes the child down or hangs it.
    """
    with os.fdopen(os.memfd_create("stderr"), "w+b") as words:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "faulthandler", "-m", "services.indexer.decoder"),
            *(b"".join(encode(task)), str(os.getpid())),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=words,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            start_new_session=True,  # a terminal's Ctrl-C is for the service, whose jobs go on after a restart
        )
        try:
            yield _events(child, task, words)
        finally:
            if child.returncode is None:
                child.kill()
            await child.communicate()  # reads what is left: without that, a full pipe would keep `wait` waiting


async def _events(child: Process, task: Task, words: BinaryIO) -> AsyncIterator[Event]:
    while (event := await _next(child, task)) is not None:
        if isinstance(event, Refused):
            raise InvalidInputError(event.reason[:LONGEST_REASON])
        yield event
    if child.returncode:
        words.seek(0)
        raise _failure(task, child.returncode, words.read()[-LAST_WORDS_BYTES:])


async def _next(child: Process, task: Task) -> Event | None:
    """The next event, or None when the child has ended."""
    name, silence_s = task.path.name, task.limits.silence_s
    try:
        async with asyncio.timeout(silence_s):
            return await _read(child)
    except TimeoutError:
        raise InvalidInputError(
            f"decoding {name} has not gone on for {silence_s:g} s: the file is damaged, or too much for this machine"
        ) from None
    except ValueError as error:
        log.warning("decoder talks nonsense", extra={"file": str(task.path), "error": str(error)})
        raise InvalidInputError(f"{name} makes the decoder talk nonsense: the file is damaged or hostile") from None


async def _read(child: Process) -> Event | None:
    pipe = cast("asyncio.StreamReader", child.stdout)
    try:
        (length,) = LENGTH.unpack(await pipe.readexactly(LENGTH.size))
        if length > LONGEST_MESSAGE_BYTES:
            raise ValueError(f"a message of {length} bytes")
        event: Event = decode(get_args(Event), await pipe.readexactly(length))
    except asyncio.IncompleteReadError:
        await child.wait()
        return None
    return event


def _failure(task: Task, code: int, last_words: bytes) -> InvalidInputError:
    """What the caller is told of a child that died; the operator finds the rest in the log."""
    name, ending = task.path.name, f"exit code {code}" if code > 0 else signal.strsignal(-code)
    words = last_words.decode(errors="replace")
    too_much = f"more than the {task.limits.memory_bytes >> 20} MiB of memory that are allowed"
    log.warning("decoder died", extra={"file": str(task.path), "ending": ending, "last_words": words})
    if code == -signal.SIGKILL or OUT_OF_MEMORY.search(last_words):
        return InvalidInputError(f"decoding {name} takes {too_much} ({ending}): the file is damaged or too large")
    if code > 0:
        return InvalidInputError(f"{name} cannot be analyzed ({ending}); the indexer's log has the details")
    return InvalidInputError(
        f"decoding {name} took the decoder down ({ending}): the file is damaged or hostile, or takes "
        f"{too_much}; convert it first"
    )
