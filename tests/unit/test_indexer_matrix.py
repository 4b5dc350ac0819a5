"""Containers, codecs, clocks and pixels: all frames once, in order, at their times, from wherever one begins."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from av.codec import Codec, codecs_available
from numpy.typing import NDArray

from services.common.media import nanoseconds
from services.indexer.frames import Frame, open_film
from tests.videos import SyntheticVideo, frame_number, write_video

FRAMES = 36
QUIET = "log-level=none"
IRREGULAR = tuple(np.cumsum(np.random.default_rng(5).integers(10, 120, FRAMES)).tolist())
"""Milliseconds."""
TICKS = {"mkv": Fraction(1, 1000), "webm": Fraction(1, 1000), "flv": Fraction(1, 1000), "wmv": Fraction(1, 1000)}
"""Of containers that keep rounded times."""
CLOCK = Fraction(1, 90_000)
"""Of MPEG's."""
MOST_DURATION_OFF = Fraction(1, 10)
"""Seconds; MPEG's containers say no duration, and FFmpeg estimates it."""
CODECS = {
    "libx264": "h264",
    "libx265": "hevc",
    "libvpx": "vp8",
    "libvpx-vp9": "vp9",
    "libsvtav1": "av1",
    "prores_ks": "prores",
    "flv": "flv1",
}
"""What encoders make, where it has another name."""


@dataclass(frozen=True, slots=True)
class Case:
    container: str
    codec: str
    fps: Fraction | int = 25
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (160, 96)
    bframes: int = 0
    gop: int = 12
    pts: tuple[int, ...] | None = None
    first_pts: int = 0
    time_base: Fraction | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    def __str__(self) -> str:
        about = self.about or f"{float(self.fps):.4g}"
        return "-".join((self.container, self.codec, self.pix_fmt, about, f"b{self.bframes}"))

    @property
    def tick(self) -> Fraction:
        return CLOCK if self.container in {"ts", "mpg"} else TICKS.get(self.container, Fraction(0))

    def write(self, folder: Path) -> SyntheticVideo:
        if self.codec not in codecs_available:
            pytest.skip(f"PyAV has no encoder {self.codec} here")
        formats = Codec(self.codec, "w").video_formats or []
        if self.pix_fmt not in [known.name for known in formats]:
            pytest.skip(f"PyAV's encoder {self.codec} makes no {self.pix_fmt} here")
        return write_video(
            folder / f"video.{self.container}",
            [FRAMES // 2, FRAMES // 2],
            fps=self.fps,
            size=self.size,
            codec=self.codec,
            pts=self.pts,
            time_base=self.time_base,
            first_pts=self.first_pts,
            gop=self.gop,
            bframes=self.bframes,
            pix_fmt=self.pix_fmt,
            options=self.options,
        )


def _of_times() -> Iterator[Case]:
    for container in ("mp4", "mkv", "ts"):
        for rate in (Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)):
            yield Case(container, "libx264", fps=rate, bframes=2)
        yield Case(container, "libx264", pts=IRREGULAR, time_base=Fraction(1, 1000), bframes=2, about="vfr")
        yield Case(container, "libx264", first_pts=250, about="late")
    yield Case("webm", "libvpx-vp9", pts=IRREGULAR, time_base=Fraction(1, 1000), about="vfr")
    # For frames left out, AVI has packets with nothing in them.
    yield Case("avi", "mpeg4", pts=tuple(number + number // 5 for number in range(FRAMES)), about="dropped")
    # Where 33 bits end within the film, FFmpeg counts from below zero.
    yield Case("ts", "libx264", first_pts=2**33 // 3600 - 20, about="negative")


def _of_codecs() -> Iterator[Case]:
    for container, codec in product(("mp4", "mov", "mkv", "avi", "ts"), ("libx264", "mpeg4", "mpeg2video")):
        yield Case(container, codec)
        yield Case(container, codec, bframes=2)
    for container in ("mp4", "mkv", "ts"):
        yield Case(container, "libx265", options={"x265-params": f"{QUIET}:bframes=3:keyint=12"}, about="open gop")
        yield Case(container, "libx264", bframes=3, options={"x264-params": "open-gop=1:keyint=12"}, about="open gop")
        yield Case(container, "libx264", options={"x264-params": "intra-refresh=1:keyint=12"}, about="refresh")
    for container, codec in (("webm", "libvpx"), ("webm", "libvpx-vp9"), ("webm", "libsvtav1"), ("mp4", "libsvtav1")):
        yield Case(container, codec)
    for container, codec in (("flv", "flv"), ("mpg", "mpeg2video"), ("wmv", "wmv2"), ("mkv", "ffv1"), ("avi", "ffv1")):
        yield Case(container, codec)
    for container, codec in (("ts", "mpeg2video"), ("mp4", "libx264")):
        yield Case(container, codec, options={"flags": "+ildct+ilme"}, bframes=2, about="interlaced")


def _of_pixels() -> Iterator[Case]:
    for container, codec, pix_fmt in (
        ("avi", "mjpeg", "yuvj420p"),
        ("mov", "mjpeg", "yuvj420p"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("mov", "prores_ks", "yuva444p10le"),
        ("mov", "qtrle", "argb"),
        ("mov", "png", "rgba"),
        ("webm", "libvpx-vp9", "yuva420p"),
        ("mp4", "libx264", "yuv420p10le"),
        ("webm", "libvpx-vp9", "yuv420p10le"),
        ("mkv", "libsvtav1", "yuv420p10le"),
        ("mkv", "ffv1", "gray"),
        ("avi", "ffv1", "bgr0"),
        ("mkv", "ffv1", "gbrp10le"),
        ("mkv", "ffv1", "yuv410p"),
    ):
        yield Case(container, codec, pix_fmt=pix_fmt)
    for container in ("mp4", "mkv"):
        yield Case(container, "libx265", pix_fmt="yuv420p10le", options={"x265-params": QUIET})
    for container, codec, pix_fmt in (("mp4", "libx264", "yuv444p"), ("mkv", "libvpx-vp9", "yuv420p")):
        yield Case(container, codec, pix_fmt=pix_fmt, size=(161, 97), about="odd")


CASES = [*_of_times(), *_of_codecs(), *_of_pixels()]


@pytest.fixture(scope="module", params=CASES, ids=str)
def filmed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, SyntheticVideo]:
    return request.param, request.param.write(tmp_path_factory.mktemp("case"))


def test_every_frame_comes_once_at_its_time(filmed: tuple[Case, SyntheticVideo]) -> None:
    case, video = filmed
    with open_film(video.path) as film:
        frames = list(film.frames())
        assert film.decode_errors == 0
    assert [frame_number(_rgb(frame)) for frame in frames] == list(range(FRAMES))
    off = [frame.offset_ns - nanoseconds(offset) for frame, offset in zip(frames, video.frame_offsets, strict=True)]
    assert max(map(abs, off)) <= nanoseconds(case.tick)
    if not case.pts:  # how long the last one is shown is known
        assert abs(frames[-1].end_ns - nanoseconds(video.duration)) <= 2 * nanoseconds(case.tick)


def test_frames_from_the_middle_on_are_those_of_a_whole_pass(filmed: tuple[Case, SyntheticVideo]) -> None:
    _, video = filmed
    with open_film(video.path) as film:
        frames = _seen(film.frames())
        for number in (13, 24, 35):
            from_ns = frames[number][0] - 1
            list(film.skip(from_ns))
            assert [frame for frame in _seen(film.frames()) if frame[0] >= from_ns] == frames[number:]


def test_the_stream_is_described(filmed: tuple[Case, SyntheticVideo]) -> None:
    case, video = filmed
    with open_film(video.path) as film:
        info = film.info
    assert (info.width, info.height, info.codec) == (*case.size, CODECS.get(case.codec, case.codec))
    if not case.pts:
        assert info.frame_rate
        assert abs(info.frame_rate / case.fps - 1) < Fraction(1, 1000)
    if not case.first_pts:  # some containers count from zero, whenever the first frame comes
        assert info.duration_ns
        assert abs(info.duration_ns - nanoseconds(video.duration)) <= nanoseconds(MOST_DURATION_OFF)


def _rgb(frame: Frame) -> NDArray[np.uint8]:
    return frame.picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _seen(frames: Iterable[Frame]) -> list[tuple[int, int, bytes]]:
    return [(frame.offset_ns, frame.end_ns, _rgb(frame).tobytes()) for frame in frames]
