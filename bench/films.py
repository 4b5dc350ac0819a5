"""Films made of shots that are known: a camera moves over textures as rough as nature's, and things move before it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.indexer.pictures import Picture

WIDTH, HEIGHT, RATE = 320, 180, 24
SHOT_FRAMES = (30, 120)
"""Least and most of a shot that are not part of a transition."""

TRANSITION_FRAMES = (12, 36)
"""Likewise of a gradual transition."""

KIN = 0.4
"""How many shots look much like the one before: another part of the same place."""

Blend = Callable[[Picture, Picture, float], Picture]
"""The picture of a transition: of the old shot, the new one, and how far it has come, between 0 and 1."""


class Shot(NamedTuple):
    """Numbers of its first and last frame that show nothing else."""

    first: int
    last: int


def dissolve(old: Picture, new: Picture, part: float) -> Picture:
    mixed: Picture = cv2.addWeighted(old, 1 - part, new, part, 0)
    return mixed


def fade(old: Picture, new: Picture, part: float) -> Picture:
    """Out to black in the first third, in again in the last."""
    light = max(0.0, abs(part - 0.5) - 1 / 6) * 3
    faded: Picture = cv2.convertScaleAbs(old if part < 0.5 else new, alpha=light)
    return faded


KINDS: dict[str, Blend | None] = {"cuts": None, "dissolves": dissolve, "fades": fade}
"""Films by how one shot becomes the next. None: at once."""


def write_film(path: Path, blend: Blend | None, shots: int) -> list[Shot]:
    """Write the same film for the same arguments, and tell its shots."""
    rng = np.random.default_rng(shots)
    found: list[Shot] = []
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in _pictures(rng, blend, shots, found):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return found


def _pictures(rng: np.random.Generator, blend: Blend | None, shots: int, found: list[Shot]) -> Iterator[Picture]:
    """The frames of a film; its shots are added to `found` on the way."""
    number = 0
    scene = _Scene(rng, None)
    for _ in range(shots):
        length = int(rng.integers(*SHOT_FRAMES))
        found.append(Shot(number, number + length - 1))
        yield from (scene.picture() for _ in range(length))
        former, scene = scene, _Scene(rng, scene.texture if rng.random() < KIN else None)
        between = int(rng.integers(*TRANSITION_FRAMES)) if blend else 0
        for step in range(between if len(found) < shots else 0):
            yield blend(former.picture(), scene.picture(), (step + 1) / (between + 1))  # type: ignore[misc]
        number += length + between


class _Scene:
    """A camera that pans, zooms and shakes over a texture, with balls that roll before it."""

    def __init__(self, rng: np.random.Generator, texture: Picture | None) -> None:
        self._rng = rng
        self.texture = _texture(rng) if texture is None else texture[::-1, ::-1].copy()
        self._center = np.array([WIDTH, HEIGHT]) + rng.uniform(-0.3, 0.3, 2) * [WIDTH, HEIGHT]
        self._pan = rng.normal(0, 1.2, 2)  # pixels a frame
        self._zoom, self._zooming = rng.uniform(1, 1.6), rng.normal(1, 0.001)
        self._balls = rng.uniform(0, 1, (rng.integers(0, 4), 2)) * [WIDTH, HEIGHT]
        self._rolling = rng.normal(0, 3, self._balls.shape)
        self._grain = rng.normal(0, 3, (2 * HEIGHT, WIDTH, 3)).astype(np.int8)
        self._colors = rng.integers(0, 255, (len(self._balls), 3)).tolist()

    def picture(self) -> Picture:
        """The next frame."""
        rng = self._rng
        self._center += self._pan + rng.normal(0, 0.4, 2)
        self._zoom *= self._zooming
        self._balls += self._rolling
        x, y = np.array([WIDTH, HEIGHT]) / 2 - self._zoom * self._center
        view = np.array([[self._zoom, 0, x], [0, self._zoom, y]])
        shown = cv2.warpAffine(self.texture, view, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        for ball, color in zip(self._balls.astype(int).tolist(), self._colors, strict=True):
            cv2.circle(shown, ball, HEIGHT // 8, color, thickness=-1)
        top = rng.integers(HEIGHT)
        picture: Picture = cv2.add(shown, self._grain[top : top + HEIGHT], dtype=cv2.CV_8U)
        return picture


def _texture(rng: np.random.Generator) -> Picture:
    """Twice the film's width and height; its strength falls with frequency as that of photographs does."""
    size = (2 * HEIGHT, 2 * WIDTH)
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((3, *size))) / frequency**1.3
    fields: NDArray[np.float64] = np.fft.irfft2(spectrum, size)
    fields /= fields.std(axis=(1, 2), keepdims=True)
    color, tint = rng.uniform(60, 190, 3), rng.uniform(5, 40, (3, 3))  # of the whole, and of each field's ups and downs
    texture: Picture = np.clip(color + np.einsum("fhw,fc->hwc", fields, tint), 0, 255).astype(np.uint8)
    return texture
