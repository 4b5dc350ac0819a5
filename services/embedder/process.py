"""How a process must be set up before torch is loaded, to compute well on a CPU that it shares with others."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""

KEPT_BYTES = 1 << 30


def tune() -> None:
    """Wait without spinning, keep freed memory, and switch threads often. docs/benchmarks.md has what each is worth."""
    # Threads of OpenMP spin for milliseconds after each parallel loop, on cores that decoders could use.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # glibc gives the large blocks that a forward pass frees back to the kernel; fresh pages cost a third of the time.
    libc = ctypes.CDLL(None)
    for parameter in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        libc.mallopt(parameter, KEPT_BYTES)
    # The model's thread asks for the interpreter hundreds of times a batch, and the event loop would keep it for 5 ms.
    sys.setswitchinterval(0.0005)
