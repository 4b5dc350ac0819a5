"""Synthetic videos whose cuts and frame times are known exactly."""

import colorsys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

NUMBER_BITS = 16
"""Width of the frame number that each picture carries in its lowest rows."""


@dataclass(frozen=True, slots=True)
class SyntheticVideo:
    """Times are exact offsets in seconds from the first presented frame."""

    path: Path
    frame_offsets: tuple[Fraction, ...]
    cuts: tuple[Fraction, ...]
    """Offset of the first frame of each scene but the first."""
    duration: Fraction
    """Offset of the end of the last frame, which lasts as long as the one before it."""

    @property
    def spans(self) -> tuple[tuple[Fraction, Fraction], ...]:
        """The scenes, as half-open spans."""
        return tuple(zip((Fraction(0), *self.cuts), (*self.cuts, self.duration), strict=True))


def write_video(
    path: Path,
    scenes: Sequence[int],
    *,
    fps: Fraction | int = 30,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    first_pts: int = 0,
    gop: int = 12,
    bframes: int = 0,
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> SyntheticVideo:
    """Write a video of `scenes`, each a number of frames; the container follows from the file's name.

    Frame n is presented at `first_pts + n` ticks, or at `first_pts + pts[n]` for a variable frame rate; a tick is
    `time_base` seconds, else `1 / fps`. mp4, mov and ts keep these times exactly, mkv rounds them to milliseconds.
    `options` are the encoder's, `container_options` the muxer's; `prepare` sees the stream before its first frame.
    """
    time_base = time_base or 1 / Fraction(fps)
    ticks = [first_pts + tick for tick in (pts or range(sum(scenes)))]
    with av.open(path, "w", options=dict(container_options or {})) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps), options={**_options(codec), **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = bframes
        prepare(stream)
        for tick, picture in zip(ticks, _pictures(scenes, size), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    offsets = tuple((tick - ticks[0]) * time_base for tick in ticks)
    last = offsets[-1] - offsets[-2] if len(offsets) > 1 else time_base
    firsts = np.cumsum(scenes)[:-1]
    return SyntheticVideo(path, offsets, tuple(offsets[first] for first in firsts), offsets[-1] + last)


def write_audio(path: Path, seconds: int = 1) -> Path:
    """Write a file that holds sound and no video."""
    rate = 8000
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("aac", rate=rate, layout="mono")
        silence = np.zeros((1, rate * seconds), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def frame_number(picture: NDArray[np.uint8]) -> int:
    """The number of a frame in its video, read from its picture (H, W, 3) at any size."""
    height, width, _ = picture.shape
    columns = (np.arange(NUMBER_BITS) * 2 + 1) * width // (2 * NUMBER_BITS)
    bits = picture[height - height // 16 - 1, columns].mean(axis=1) > 127
    gray = int("".join("1" if bit else "0" for bit in bits), 2)
    number = 0
    while gray:
        number ^= gray
        gray >>= 1
    return number


def scene_picture(scene: int, size: tuple[int, int] = (160, 96)) -> NDArray[np.uint8]:
    """A smooth texture (H, W, 3), seamless at its sides, far in hue and brightness from its neighbors' pictures."""
    width, height = size
    phase, tilt = np.random.default_rng(scene).random(2)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    wave = 0.8 + 0.2 * np.sin(2 * np.pi * (x * (1 + scene % 3) + y * tilt + phase))  # (H, W)
    color = colorsys.hsv_to_rgb(scene * 0.618 % 1, 0.7, (0.95, 0.5)[scene % 2])
    picture: NDArray[np.uint8] = np.rint(255 * wave[..., None] * np.array(color)).astype(np.uint8)
    return picture


def _pictures(scenes: Sequence[int], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Every frame: its scene's picture, panning slowly, with the frame's number as black and white cells."""
    number = 0
    strip = size[1] // 8
    for scene, length in enumerate(scenes):
        still = scene_picture(scene, size)
        for step in range(length):
            picture = np.roll(still, step, axis=1)
            cells = [255 * (((number ^ (number >> 1)) >> bit) & 1) for bit in reversed(range(NUMBER_BITS))]  # Gray code
            columns = np.arange(size[0]) * NUMBER_BITS // size[0]
            picture[-strip:] = np.array(cells, np.uint8)[columns, None]
            number += 1
            yield picture


def _options(codec: str) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "ultrafast", "crf": "18"}
    return {} if codec == "ffv1" else {"b": "2000000"}
