"""`buf curl`, a gRPC client that we did not write."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videosearch.v1 import embedder_pb2, indexer_pb2, search_pb2, store_pb2

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")
PATH = f"{BUF.parent}:{os.environ['PATH']}"
"""Where a shell finds it."""

FILES = (embedder_pb2, indexer_pb2, search_pb2, store_pb2)
SERVICES = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
"""Ours, as their descriptors tell."""


@dataclass(frozen=True)
class Said:
    status: int
    output: str
    """Of a call that went well; of another, what came before it failed."""
    complaint: str

    @property
    def messages(self) -> list[Any]:
        return list(documents(self.output))

    @property
    def error(self) -> dict[str, Any]:
        """The status, its text and its details."""
        (error,) = documents(self.complaint)
        return error

    @property
    def code(self) -> int:
        """The number of the call's status."""
        return self.status // 8


async def run(*command: str | Path, stdin: str = "") -> Said:
    """A command, which with all that it has started has ended a minute later."""
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "PATH": PATH}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, env=environment, start_new_session=True
    )
    try:
        output, complaint = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Said(process.returncode or 0, output.decode(), complaint.decode())


async def curl(
    address: str, method: str, *messages: Any, options: tuple[str | Path, ...] = (), tls: bool = False
) -> Said:
    """Send these messages, as JSON on standard input; `method` has its service before it."""
    url = f"{'https' if tls else 'http'}://{address}/{method}"
    command = (BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc", "--data", "@-", *options, url)
    return await run(*command, stdin="\n".join(map(json.dumps, messages)))


def documents(text: str) -> Iterator[Any]:
    """JSON documents, one after the other."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]
