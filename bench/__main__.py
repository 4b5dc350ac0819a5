"""`python -m bench NAME [--json]`: one benchmark; docs/benchmarks.md has what was found."""

import argparse
import json

from transformers.utils import logging as transformers_logging

from bench.baseline import baseline
from bench.memory import memory
from bench.videos import bench_video

BENCHMARKS = {
    "baseline": (baseline, "the method that we grew from, and ours, on the same video"),
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
        print("\n".join(f"{name:<22} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
