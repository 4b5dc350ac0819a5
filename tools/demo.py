"""`make demo`: three real videos indexed and found again, by the command line that everyone uses."""

import argparse
import asyncio
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tools.samples import FOLDER, SamplesError, sample_videos
from tools.stack import Stack, StackError

EXPECTED = {
    "a cartoon rabbit in a meadow": "bigbuckbunny.mp4",
    "people riding bicycles in the city": "bikes.mp4",
    "a man in a suit and tie": "carphone.mp4",
}
"""Queries, and the video that each must find first."""

CLI = (sys.executable, "-m", "cli")
WITH_CLIP = "The same with CLIP:  make demo MODEL=openai/clip-vit-base-patch32  (or MODEL=FOLDER, a checkpoint on disk)"


class DemoError(Exception):
    """A step has failed."""


async def demo(model: str) -> None:
    videos = await asyncio.to_thread(sample_videos)
    with tempfile.TemporaryDirectory(prefix="videosearch-demo-") as folder:
        log = Path(folder) / "services.log"
        settings = {"VIDEOSEARCH_EMBEDDER_MODEL": model, "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(FOLDER)}
        print(f"Starting four services on loopback (model: {model}) ...", flush=True)
        with log.open("w") as lines:
            stack = Stack(Path(folder), log=lambda name, line: print(name, line, file=lines), settings=settings)
            async with stack:
                await _videosearch("index", *map(str, videos), environment=stack.environment)
                await search(EXPECTED, stack.environment)
    print(f"Services stopped. Every sample query found its video first.\n{WITH_CLIP}")


async def search(expected: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Print what each query finds; DemoError unless the video of the expected title is first."""
    for text, title in expected.items():
        await _videosearch("search", text, environment=environment)
        pipe = asyncio.subprocess.PIPE
        output = await _videosearch("search", text, "--json", environment=environment, stdout=pipe)
        hits = json.loads(output)["hits"]
        found = hits[0]["video"]["title"] if hits else "nothing"
        if found != title:
            raise DemoError(f"{text!r}: expected {title} first, found {found}")


async def _videosearch(*arguments: str, environment: Mapping[str, str], stdout: int | None = None) -> bytes:
    """Run a command; returns what it has printed, if `stdout` is a pipe."""
    if stdout is None:
        print(f"\n$ videosearch {shlex.join(_short(argument) for argument in arguments)}", flush=True)
    process = await asyncio.create_subprocess_exec(*CLI, *arguments, env={**os.environ, **environment}, stdout=stdout)
    output, _ = await process.communicate()
    if process.returncode:
        raise DemoError(f"videosearch {arguments[0]} failed with exit status {process.returncode}")
    return output


def _short(argument: str) -> str:
    return Path(argument).name if argument.startswith("/") else argument


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lite", help='"lite", a hub name of a CLIP checkpoint, or a folder')
    try:
        asyncio.run(demo(parser.parse_args().model))
    except (SamplesError, StackError, DemoError) as error:
        sys.exit(f"demo failed: {error}")
