import contextlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.common.errors import InvalidInputError
from services.embedder.images import RawImage, picture

MAX_PIXELS = 10_000
ORIENTATION = 0x0112  # the EXIF tag
TURN_RIGHT_TO_SEE = 6


def file_of(image, kind="PNG", **options):
    data = BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def gradient(width=24, height=16):
    rows = np.linspace(0, 255, width * height * 3).astype(np.uint8)
    return Image.fromarray(rows.reshape(height, width, 3))


def decoded(data):
    return picture(data, MAX_PIXELS)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_a_lossless_file_gives_its_pixels(kind, options):
    assert np.array_equal(decoded(file_of(gradient(), kind, **options)), gradient())


def test_a_jpeg_gives_nearly_its_pixels():
    difference = np.asarray(decoded(file_of(gradient(), "JPEG", quality=95)), int) - np.asarray(gradient(), int)
    assert abs(difference).mean() < 4


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT_TO_SEE
    assert decoded(file_of(gradient(24, 16), "JPEG", exif=exif)).size == (16, 24)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode):
    assert decoded(file_of(Image.new(mode, (8, 8)))).mode == "RGB"


def test_sixteen_bits_of_gray_become_eight():
    gray = Image.fromarray(np.full((8, 8), 0x80FF, dtype=np.uint16))
    assert decoded(file_of(gray)).getpixel((0, 0)) == (0x80, 0x80, 0x80)


def test_raw_pixels_are_taken_as_they_are():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(picture(RawImage(3, 2, pixels.tobytes()), MAX_PIXELS), pixels)


@pytest.mark.parametrize("length", [0, 17, 19])
def test_raw_pixels_of_another_length_are_refused(length):
    with pytest.raises(InvalidInputError, match="take 18 bytes"):
        picture(RawImage(3, 2, bytes(length)), MAX_PIXELS)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, -1)])
def test_raw_pixels_without_a_size_are_refused(width, height):
    with pytest.raises(InvalidInputError, match="no size"):
        picture(RawImage(width, height, b""), MAX_PIXELS)


def test_raw_pixels_over_the_limit_are_refused():
    with pytest.raises(InvalidInputError, match="more than 10000 pixels"):
        picture(RawImage(101, 100, b""), MAX_PIXELS)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(kind):
    with pytest.raises(InvalidInputError, match="not a JPEG, PNG or WebP"):
        decoded(file_of(gradient(), kind))


@pytest.mark.parametrize("side", [101, 9500, 20000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    header = file_of(Image.new("1", (side, side)))[:200]  # the pixels themselves are never there
    with pytest.raises(InvalidInputError, match=r"pixels"):
        decoded(header)


def test_a_line_of_an_image_is_refused():
    with pytest.raises(InvalidInputError, match="too narrow"):
        decoded(file_of(Image.new("RGB", (5000, 2))))


def test_a_truncated_jpeg_is_refused():
    data = file_of(gradient(90, 90), "JPEG")
    with pytest.raises(InvalidInputError, match="cannot be decoded"):
        decoded(data[: len(data) // 2])


@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8),
)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
def test_a_damaged_file_gives_an_image_or_a_refusal(kind, damage):
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT_TO_SEE
    data = bytearray(file_of(gradient(), kind, exif=exif))
    for position, value in damage:
        data[position % len(data)] = value
    with contextlib.suppress(InvalidInputError):
        assert decoded(bytes(data)).mode == "RGB"
