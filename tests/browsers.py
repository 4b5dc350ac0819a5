"""Pages as a person would see them: their elements and texts, and a headless browser where there is one."""

import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

COMMAND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

Picture: TypeAlias = NDArray[np.uint8]
"""Shape (height, width, 3): blue, green, red."""

needed = pytest.mark.skipif(COMMAND is None, reason="no chromium, chromium-browser or google-chrome on the PATH")

WIDTH_OF = """<iframe id="page" src="{page}" width="{width}" height="800"></iframe><output id="found"></output>
<script>onload = () => {{ found.textContent = page.contentDocument.documentElement.scrollWidth }}</script>"""


class Read(HTMLParser):
    """The elements of a page, and its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def picture(page: Path, width: int, height: int, *, dark: bool = False) -> Picture:
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        _run(page, scheme, "--hide-scrollbars", f"--window-size={width},{height}", f"--screenshot={shot}")
        return cv2.imread(str(shot))


def document(page: Path) -> str:
    """The page's elements once it is loaded and its scripts have run, as HTML."""
    return _run(page, "--dump-dom")


def needed_width(page: Path, width: int) -> int:
    """How many pixels wide the page is in a window of so many; more than those must be scrolled to."""
    with tempfile.NamedTemporaryFile("w", suffix=".html") as outer:
        outer.write(WIDTH_OF.format(page=page.as_uri(), width=width))
        outer.flush()
        found = _run(Path(outer.name), "--dump-dom", "--allow-file-access-from-files", "--hide-scrollbars")
    return int(found.split('id="found">')[1].split("<")[0])


def _run(page: Path, *arguments: str) -> str:
    with tempfile.TemporaryDirectory() as profile:
        apart = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}")
        command = [COMMAND, *apart, *arguments, page.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
