"""`python -m bench NAME [--json]`: one benchmark; docs/benchmarks.md has what was found."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from transformers.utils import logging as transformers_logging

from bench.baseline import baseline
from bench.index import index
from bench.memory import memory
from bench.scenes import scenes
from bench.soak import soak
from bench.videos import bench_video

BENCHMARKS = {
    "baseline": (baseline, "the method that we grew from, and ours, on the same video"),
    "index": (index, "indexing beside decoding and embedding alone, and several videos at once"),
    "scenes": (scenes, "how well each detector finds cuts, and how fast"),
    "soak": (soak, "the indexer's memory over 200 videos in a row"),
    "memory": (memory, "the indexer's memory for a video, and for one twice as long"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for name, (_, meaning) in BENCHMARKS.items():
        command = names.add_parser(name, help=meaning)
        command.add_argument("--model", default="lite", help='ours: "lite", a folder or a hub name')
        command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    transformers_logging.disable_progress_bar()
    run, _ = BENCHMARKS[arguments.name]
    figures = run(arguments.model, bench_video())
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(*_lines(figures), sep="\n")


def _lines(figures: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A line for each figure, however deep it lies."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            yield f"{prefix + name:<32} {value}"


if __name__ == "__main__":
    main()
