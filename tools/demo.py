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

from tools.samples import FOLDER, sample_videos
from tools.stack import Stack, StackError

EXPECTED = {
    "a cartoon rabbit in a meadow": "bigbuckbunny.mp4",
    "people riding bicycles in the city": "bikes.mp4",
    "a man in a suit and tie": "carphone.mp4",
}

CLI = (sys.executable, "-m", "cli")


class DemoError(Exception):
    """A step has failed."""


async def _demo(model: str) -> None:
    videos = await asyncio.to_thread(sample_videos)
    with tempfile.TemporaryDirectory(prefix="videosearch-demo-") as folder:
        log = Path(folder) / "services.log"
        settings = {"VIDEOSEARCH_EMBEDDER_MODEL": model, "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(FOLDER)}
        print(f"Starting four services on loopback (model: {model}) ...", flush=True)
        with log.open("w") as lines:
            stack = Stack(Path(folder), log=lambda name, line: print(name, line, file=lines), settings=settings)
            async with stack:
                await _index_and_search(videos, stack.environment)
    print("Services stopped. Every sample query found its video first.")


async def _index_and_search(videos: list[Path], environment: Mapping[str, str]) -> None:
    await _run("index", *map(str, videos), environment=environment)
    for text, expected in EXPECTED.items():
        await _run("search", text, environment=environment)
        found = json.loads(await _output("search", text, "--json", environment=environment))
        title = found["hits"][0]["video"]["title"] if found["hits"] else None
        if title != expected:
            raise DemoError(f"{text!r}: expected {expected} first, found {title}")


async def _run(*arguments: str, environment: Mapping[str, str]) -> None:
    print(f"\n$ videosearch {shlex.join(_short(argument) for argument in arguments)}", flush=True)
    process = await asyncio.create_subprocess_exec(*CLI, *arguments, env={**os.environ, **environment})
    if code := await process.wait():
        raise DemoError(f"videosearch {arguments[0]} failed with exit status {code}")


async def _output(*arguments: str, environment: Mapping[str, str]) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*CLI, *arguments, env={**os.environ, **environment}, stdout=pipe)
    output, _ = await process.communicate()
    return output


def _short(argument: str) -> str:
    return Path(argument).name if argument.startswith("/") else argument


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lite", help='"lite", a hub name of a CLIP checkpoint, or a folder')
    try:
        asyncio.run(_demo(parser.parse_args().model))
    except (StackError, DemoError) as error:
        sys.exit(f"demo failed: {error}")
