"""`make lock` writes locks/: exact versions, with the hash of each file that the index has of them.

One for development, which has everything, one for each image, one for what builds the project, and one for the tools of
the supply chain. torch is in none: which build of it is right differs between machines (requirements-torch.txt).
"""

import subprocess
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["build-system"]["requires"]

IMAGES = {
    "embedder": ("embedder", "tracing"),
    "store": ("store", "tracing"),
    "indexer": ("indexer", "objects", "tracing"),
    "search": ("search", "tracing"),
    "cli": ("cli", "tracing"),
}
"""Extras that each image has. Tracing is small, and nobody can add to an image that is read-only."""

UV = f"{sysconfig.get_path('scripts')}/uv"
COMPILE = (
    *(UV, "pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--system-certs"),
    *("--python-platform", "x86_64-manylinux_2_28", "--python-version", "3.11", "--no-emit-package", "torch"),
    *("--no-annotate", "--custom-compile-command", "make lock", "--no-emit-index-url", "--no-emit-find-links"),
)


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    _compile("tools", "--group", "tools")
    _compile("dev", "--all-extras", "pyproject.toml", "-", requirements=BUILD)
    same = ("--constraint", "locks/dev.txt")
    _compile("build", "-", *same, requirements=BUILD)
    for image, extras in IMAGES.items():
        _compile(image, "pyproject.toml", *(f"--extra={extra}" for extra in extras), *same)


def _compile(name: str, *arguments: str, requirements: tuple[str, ...] = ()) -> None:
    command = (*COMPILE, *arguments, "--output-file", f"locks/{name}.txt")
    subprocess.run(command, input="\n".join(requirements), text=True, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
