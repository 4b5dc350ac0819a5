"""`python -m services.indexer.decoder TASK PARENT`: the process that a bad file may take down.

It confines itself, analyzes one video and writes messages to its standard output, each behind its length. `child`
starts it and reads them.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from services.common.errors import InvalidInputError
from services.indexer.analysis import Analyzer, Event, Refused, Task
from services.indexer.messages import LENGTH, decode, encode

PR_SET_PDEATHSIG = 1
"""From Linux's <sys/prctl.h>."""

MOST_WORDS_BYTES = 1 << 20
"""Of whatever the libraries print; the parent keeps it in memory."""


def main() -> None:
    task = decode([Task], os.fsencode(sys.argv[1]))
    confine(task.limits.memory_bytes, parent=int(sys.argv[2]))
    # Whatever a library prints goes to the log, not between the messages.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            for event in Analyzer(task).events():
                _write(out, event)
        except InvalidInputError as error:
            _write(out, Refused(str(error)))


def confine(memory_bytes: int, parent: int) -> None:
    """Die with the parent, and before it when memory is short; take no more of it than allowed, and write no files."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(1)
    with suppress(OSError):  # where /proc is read-only
        Path("/proc/self/oom_score_adj").write_text("1000")
    _limit(resource.RLIMIT_DATA, memory_bytes)  # RLIMIT_AS would count libraries and reserved addresses too
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, MOST_WORDS_BYTES)


def _limit(resource_: int, most: int) -> None:
    _, allowed = resource.getrlimit(resource_)
    if allowed != resource.RLIM_INFINITY:
        most = min(most, allowed)
    resource.setrlimit(resource_, (most, most))


def _write(out: BinaryIO, event: Event) -> None:
    parts = encode(event)
    out.write(LENGTH.pack(sum(part.nbytes for part in parts)))
    out.writelines(parts)
    out.flush()


if __name__ == "__main__":
    main()
