"""`python -m bench NAME [--json]`: one benchmark; docs/benchmarks.md has what was found."""

import argparse
import json

from bench.baseline import baseline


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="name", required=True)
    command = benchmarks.add_parser("baseline", help="the method that we grew from, and ours, on the same video")
    command.add_argument("--model", default="lite", help='ours: "lite", "vit-b-32" (random weights) or a checkpoint')
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    figures = baseline(arguments.model)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<22} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
