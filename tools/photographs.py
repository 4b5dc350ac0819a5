"""Captioned photographs in the layout of Flickr8k: `images_224.tar` and `captions.token.txt` in one folder.

Nothing installs or tests with them; the heads of `lite` are trained and judged on them.
"""

import hashlib
import io
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

HELD_OUT = 1_000
"""Photographs that no training and no choice has seen."""

VALIDATION = 1_000
"""Photographs on which settings are chosen."""


@dataclass(frozen=True, slots=True)
class Photograph:
    name: str
    captions: tuple[str, ...]
    coded: bytes

    def picture(self) -> Image.Image:
        return Image.open(io.BytesIO(self.coded)).convert("RGB")


class Split(NamedTuple):
    held_out: Sequence[Photograph]
    validation: Sequence[Photograph]
    training: Sequence[Photograph]


def read_photographs(folder: Path) -> list[Photograph]:
    """Those that have captions, in the order of their names."""
    captions = defaultdict(list)
    for line in (folder / "captions.token.txt").read_text("utf-8").splitlines():
        name_and_number, caption = line.split("\t", 1)
        captions[name_and_number.rpartition("#")[0]].append(caption)
    photographs = []
    with tarfile.open(folder / "images_224.tar") as archive:
        for member in archive:
            name = Path(member.name).name
            if (file := archive.extractfile(member)) and name in captions:
                photographs.append(Photograph(name, tuple(captions[name]), file.read()))
    return sorted(photographs, key=lambda photograph: photograph.name)


def split(photographs: Sequence[Photograph]) -> Split:
    """In the order of SHA-256 of their names: at random, and the same everywhere."""
    order = sorted(photographs, key=lambda photograph: hashlib.sha256(photograph.name.encode()).digest())
    others = HELD_OUT + VALIDATION
    return Split(order[:HELD_OUT], order[HELD_OUT:others], order[others:])
