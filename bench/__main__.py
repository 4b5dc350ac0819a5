"""`python -m bench NAME [--json]`: one benchmark; docs/benchmarks.md has what was found."""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from transformers.utils import logging as transformers_logging

from bench.baseline import baseline
from bench.e2e import e2e
from bench.embed import embed
from bench.index import index
from bench.memory import memory
from bench.recommend import recommend
from bench.retrieval import retrieval
from bench.scenes import scenes
from bench.search import search
from bench.soak import soak
from bench.trust import trust
from bench.videos import bench_video
from services.embedder.encoder import BackEnd, Precision

BENCHMARKS: dict[str, tuple[Callable[[argparse.Namespace], dict[str, Any]], str]] = {
    "baseline": (
        lambda given: baseline(given.model, bench_video()),
        "the method that we grew from, and ours, on the same video",
    ),
    "e2e": (
        lambda given: e2e(given.model, given.scenes),
        "a query from its text to its hits, through all services",
    ),
    "embed": (
        lambda given: embed(given.model, given.back_end, given.precision, given.photographs),
        "the encoder alone and through gRPC, one caller and many, and a query meanwhile",
    ),
    "index": (
        lambda given: index(given.model, bench_video()),
        "indexing beside decoding and embedding alone, and several videos at once",
    ),
    "memory": (
        lambda given: memory(given.model, bench_video()),
        "the indexer's memory for a video, and for one twice as long",
    ),
    "recommend": (lambda _given: recommend(), "recommendations among made-up genres, for tastes that are known"),
    "retrieval": (
        lambda given: retrieval(given.model, given.photographs, given.videos),
        "how often a caption finds its photograph or video",
    ),
    "scenes": (lambda given: scenes(bench_video()), "how well each detector finds cuts, and how fast"),
    "search": (
        lambda given: search(given.sizes),
        "how fast, how rightly and in how much memory the store finds scenes, at several sizes",
    ),
    "soak": (lambda given: soak(given.model), "the indexer's memory over 200 videos in a row"),
    "trust": (
        lambda given: trust(given.model, given.scenes),
        "what a query takes more with mutual TLS, tokens, metrics and traces",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    commands = {name: names.add_parser(name, help=meaning) for name, (_, meaning) in BENCHMARKS.items()}
    for command in commands.values():
        command.add_argument("--model", default="lite", help='ours: "lite", a folder or a hub name')
        command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands["embed"].add_argument("--back-end", default="auto", choices=("auto", *get_args(BackEnd)))
    commands["embed"].add_argument("--precision", default="auto", choices=("auto", *get_args(Precision)))
    for name in ("embed", "retrieval"):
        commands[name].add_argument("--photographs", type=Path, help="a folder laid out as Flickr8k")
    commands["search"].add_argument("--sizes", type=_numbers, default="10000,100000", help="of scenes, with commas")
    commands["e2e"].add_argument("--scenes", type=int, default=100_000, help="in the store")
    commands["trust"].add_argument("--scenes", type=int, default=5_000, help="in the store")
    commands["retrieval"].add_argument("--videos", type=Path, help="a folder of videos with a captions.json")
    arguments = parser.parse_args()
    transformers_logging.disable_progress_bar()
    run, _ = BENCHMARKS[arguments.name]
    figures = run(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(*_lines(figures), sep="\n")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _lines(figures: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A line for each figure, however deep it lies."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            yield f"{prefix + name:<32} {value}"


if __name__ == "__main__":
    main()
