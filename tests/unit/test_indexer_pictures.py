"""What the model sees: upright pictures in their true shape and colors."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest
from av.video.reformatter import ColorRange, ColorTrc
from numpy.typing import NDArray

from services.indexer.colors import is_hdr
from services.indexer.frames import open_film
from services.indexer.pictures import Pictures
from tests.videos import write_video

BT709, UNSPECIFIED, BT470BG, BT601, BT2020 = 1, 2, 5, 6, 9
"""MatrixCoefficients of ITU-T H.273."""
LUMA = {BT709: (0.2126, 0.0722), BT470BG: (0.299, 0.114), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}


def _colorful(width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0 : 6 : height * 1j, 0 : 9 : width * 1j]
    waves = np.stack([np.sin(x + y), np.sin(2 * x + 1), np.cos(y)], axis=-1)
    picture: NDArray[np.uint8] = np.rint(128 + 100 * waves).astype(np.uint8)
    return picture


def _coded(rgb: NDArray[np.uint8], matrix: int, *, full: bool) -> NDArray[np.uint8]:
    """Y'CbCr by the formulas of the recommendations."""
    red, blue = LUMA[matrix]
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))]
    black, most, colors = (0, 255, 255) if full else (16, 219, 224)
    planes: NDArray[np.uint8] = np.rint([black + most * luma, *(128 + colors * part for part in chroma)]).astype(
        np.uint8
    )
    return planes


def _frame(planes: NDArray[Any], pix_fmt: str, matrix: int, *, full: bool = False) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(planes, format=pix_fmt)
    frame.colorspace = matrix
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    return frame


def _most_off(sample: NDArray[np.uint8], rgb: NDArray[np.uint8], factor: int) -> float:
    """Levels that all but a thousandth of the sample's are off those of the picture, shrunk."""
    height, width, _ = rgb.shape
    shrunk = cv2.resize(rgb, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return float(np.quantile(np.abs(sample - shrunk.astype(np.float64)), 0.999))


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", LUMA)
def test_colors_are_those_that_were_coded(matrix: int, full: bool) -> None:
    rgb = _colorful(640, 360)
    sample = Pictures(90).sample(_frame(_coded(rgb, matrix, full=full), "yuv444p", matrix, full=full))
    assert _most_off(sample, rgb, 4) <= 2


@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), BT709), ((720, 480), BT601)])
def test_where_the_file_names_no_matrix_its_size_decides(size: tuple[int, int], matrix: int) -> None:
    rgb = _colorful(*size)
    sample = Pictures(size[1] // 4).sample(_frame(_coded(rgb, matrix, full=False), "yuv444p", UNSPECIFIED))
    assert _most_off(sample, rgb, 4) <= 2


@pytest.mark.parametrize(
    "pix_fmt",
    ["rgb24", "rgba", "bgr0", "gbrp", "gbrp10le", "yuv444p", "yuva444p10le", "yuv444p12le", "yuv420p", "nv12"],
)
def test_all_ways_to_write_a_picture_show_the_same(pix_fmt: str) -> None:
    rgb = _colorful(640, 360)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
    assert _most_off(Pictures(90).sample(frame), rgb, 4) <= 4


def test_gray_stays_gray() -> None:
    gray = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    sample = Pictures(64).sample(av.VideoFrame.from_ndarray(gray, format="gray"))
    assert np.abs(sample.astype(int) - gray[..., None]).max() <= 2


def test_detail_too_fine_for_the_sample_averages_out() -> None:
    checkered = np.indices((360, 640)).sum(axis=0) % 2 * 255
    sample = Pictures(90).sample(_frame(checkered.astype(np.uint8), "gray", UNSPECIFIED, full=True))
    assert np.ptp(sample) <= 4


@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True)], ids=["plain", "hflip", "vflip"])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_samples_stand_upright(tmp_path: Path, degrees: int, mirrored: tuple[bool, bool]) -> None:
    hflip, vflip = mirrored

    def turn(stream: Any) -> None:
        stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)

    path = write_video(tmp_path / "video.mp4", [1], prepare=turn).path
    with open_film(path) as film:
        (frame,) = film.frames()
    shown = np.rot90(frame.picture.to_ndarray(format="rgb24"), degrees // 90)
    shown = shown[:: -1 if vflip else 1, :: -1 if hflip else 1]
    sample = Pictures(96).sample(frame.picture)
    assert sample.shape == shown.shape
    assert np.abs(sample.astype(int) - shown).mean() < 3


@pytest.mark.parametrize(("pixel_aspect", "width"), [(Fraction(64, 45), 398), (Fraction(16, 15), 299)])
def test_samples_are_as_wide_as_the_film_is_shown(pixel_aspect: Fraction, width: int) -> None:
    frame = av.VideoFrame(720, 576, "yuv420p")
    assert Pictures(224, pixel_aspect).sample(frame).shape == (224, width, 3)


def test_the_detector_sees_frames_of_one_size_whatever_the_films() -> None:
    sizes = [(1920, 1080), (1080, 1920), (2, 8192), (16, 16)]
    assert {Pictures(96).small(av.VideoFrame(*size, "yuv420p")).shape for size in sizes} == {(72, 128, 3)}


@pytest.mark.parametrize("shape", [(8192, 2), (2, 8192)])
def test_a_sample_is_bounded_however_long_and_thin_the_film_is(shape: tuple[int, int]) -> None:
    sample = Pictures(96, Fraction(65535, 1)).sample(av.VideoFrame(*shape, "yuv420p"))
    assert sorted(sample.shape) == [3, 96, 4 * 96]


def test_a_turned_film_of_wide_pixels_is_as_high_as_it_is_shown(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", [1], prepare=lambda stream: stream.set_display_rotation(90)).path
    with open_film(path) as film:
        (frame,) = film.frames()
    assert Pictures(96, Fraction(2)).sample(frame.picture).shape == (320, 96, 3)


@pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
def test_a_film_of_high_dynamic_range_is_known_as_such(tmp_path: Path, transfer: ColorTrc) -> None:
    def tag(stream: Any) -> None:
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, transfer, BT2020

    options = {"x265-params": "log-level=none"}
    path = write_video(
        tmp_path / "video.mp4", [2], codec="libx265", pix_fmt="yuv420p10le", options=options, prepare=tag
    ).path
    with open_film(path) as film:
        assert all(is_hdr(frame.picture) for frame in film.frames())


def _hdr(signal: tuple[float, float, float], transfer: ColorTrc) -> NDArray[np.uint8]:
    """How one color shows that a signal of BT.2100 codes."""
    rgb = np.full((32, 64, 3), np.array(signal) * 65535).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
    frame.colorspace = BT2020
    frame = frame.reformat(format="yuv444p10le", dst_colorspace=BT2020)
    frame.colorspace, frame.color_trc = BT2020, transfer
    color: NDArray[np.uint8] = Pictures(16).sample(frame)[8, 16]
    return color


@pytest.mark.parametrize(
    ("pq", "hlg", "shown"),
    [(0.38, 0.38, (95, 105)), (0.58, 0.75, (228, 242)), (0.75, 1.0, (250, 255))],
    ids=["a gray card", "white", "the brightest"],
)
def test_high_dynamic_range_shows_as_bright_as_ordinary_pictures(pq: float, hlg: float, shown: tuple[int, int]) -> None:
    """The signals of these are in table 1 of BT.2408; a gray card shows at about 100 where white is 255."""
    darkest, brightest = shown
    for gray in (_hdr((pq, pq, pq), ColorTrc.SMPTE2084), _hdr((hlg, hlg, hlg), ColorTrc.ARIB_STD_B67)):
        assert np.ptp(gray) <= 3
        assert darkest <= gray.mean() <= brightest


def test_colors_of_high_dynamic_range_keep_their_hue() -> None:
    red, green, blue = _hdr((0.58, 0.3, 0.3), ColorTrc.SMPTE2084).tolist()
    assert red > 200
    assert max(green, blue) < 60


def test_samples_leave_no_frames_behind(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [120], size=(1280, 720))
    frame_bytes = 1280 * 720 * 3 // 2
    process = psutil.Process()
    with open_film(film.path) as opened:
        pictures = Pictures(64)
        before = 0
        for number, frame in enumerate(opened.frames()):
            pictures.sample(frame.picture)
            if number == 20:
                before = process.memory_info().rss
    assert process.memory_info().rss - before < 20 * frame_bytes
