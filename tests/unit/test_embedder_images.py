import contextlib
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.common.errors import InvalidInputError
from services.embedder.images import MAX_FILE_BYTES, MAX_SCANS, START_OF_SCAN, RawImage, picture

MAX_PIXELS = 10_000
ORIENTATION = 0x0112  # the EXIF tag
TURN_RIGHT_TO_SEE = 6
WHITE = (255, 255, 255)


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


def png(width, height, depth, color, rows, *before):
    """A PNG file as the standard has it, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    lines = b"".join(b"\0" + row for row in rows)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


GRAY, RGB, GRAY_ALPHA, RGBA = 0, 2, 4, 6  # color types of PNG


# orientation

ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", [0, 1, *ORIENTATIONS, 9, 255])
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_exif_orientation_is_applied(kind, options, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turned = ORIENTATIONS.get(orientation)
    expected = gradient() if turned is None else gradient().transpose(turned)
    assert np.array_equal(decoded(file_of(gradient(), kind, exif=exif, **options)), expected)


def test_exif_orientation_of_a_jpeg_is_applied():
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT_TO_SEE
    assert decoded(file_of(gradient(24, 16), "JPEG", exif=exif)).size == (16, 24)


def test_sixteen_bit_gray_is_turned_too():
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT_TO_SEE
    gray = Image.fromarray(np.arange(6, dtype=np.uint16).reshape(2, 3) << 8)
    turned = decoded(file_of(gray, exif=exif))
    assert np.asarray(turned)[:, :, 0].tolist() == [[3, 0], [4, 1], [5, 2]]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_says_nothing(kind, exif):
    with warnings.catch_warnings(action="ignore"):  # Pillow's
        assert decoded(file_of(gradient(24, 16), kind, exif=exif)).size == (24, 16)


# modes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode):
    kind = "WEBP" if mode == "PA" else "PNG"
    assert decoded(file_of(Image.new(mode, (8, 8)), kind)).mode == "RGB"


def test_one_bit_is_black_or_white():
    bits = Image.fromarray(np.array([[True, False], [False, True]]))
    assert np.asarray(decoded(file_of(bits)))[:, :, 1].tolist() == [[255, 0], [0, 255]]


@pytest.mark.parametrize(
    ("depth", "row", "expected"), [(1, 0b10000000, (255, 0)), (2, 0b10010000, (170, 85)), (4, 0x3C, (51, 204))]
)
def test_few_bits_of_gray_span_black_to_white(depth, row, expected):
    assert tuple(np.asarray(decoded(png(2, 1, depth, GRAY, [bytes([row])])))[0, :, 0]) == expected


def test_a_palette_gives_its_colors():
    image = Image.new("P", (2, 1))
    image.putpalette([200, 100, 50, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert np.asarray(decoded(file_of(image))).tolist() == [[[200, 100, 50], [0, 0, 255]]]


@pytest.mark.parametrize("transparency", [0, bytes([0, 255]), b"\0"])
def test_a_transparent_color_of_a_palette_is_white(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 100, 50, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert np.asarray(decoded(file_of(image, transparency=transparency))).tolist() == [[[255] * 3, [0, 0, 255]]]


@pytest.mark.parametrize(("mode", "color"), [("L", 7), ("RGB", (7, 7, 7))])
def test_the_one_color_that_a_file_calls_transparent_is_white(mode, color):
    image = Image.new(mode, (2, 1), color)
    image.putpixel((1, 0), (9, 9, 9) if mode == "RGB" else 9)
    assert np.asarray(decoded(file_of(image, transparency=color)))[0, :, 0].tolist() == [255, 9]


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_what_hides_under_transparency_stays_hidden(kind, options):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert np.asarray(decoded(file_of(image, kind, **options))).tolist() == [[[255] * 3, [255, 0, 0]]]


def test_half_transparent_is_half_white():
    assert decoded(file_of(Image.new("RGBA", (1, 1), (0, 0, 200, 128)))).getpixel((0, 0)) == (127, 127, 227)


@pytest.mark.parametrize(
    ("color", "pixel", "expected"),
    [
        (GRAY, (0x80FF,), (0x80,) * 3),
        (RGB, (0x10FF, 0x2000, 0xFFFF), (0x10, 0x20, 0xFF)),
        (GRAY_ALPHA, (0x40FF, 0xFFFF), (0x40,) * 3),
        (GRAY_ALPHA, (0x40FF, 0), WHITE),
        (RGBA, (0x10FF, 0x2000, 0xFFFF, 0xFFFF), (0x10, 0x20, 0xFF)),
        (RGBA, (0x10FF, 0x2000, 0xFFFF, 0), WHITE),
    ],
)
def test_of_sixteen_bits_the_upper_eight_count(color, pixel, expected):
    assert decoded(png(1, 1, 16, color, [struct.pack(f">{len(pixel)}H", *pixel)])).getpixel((0, 0)) == expected


def test_a_transparent_sixteen_bit_gray_is_white():
    data = png(2, 1, 16, GRAY, [struct.pack(">2H", 0x1234, 0x1235)], (b"tRNS", struct.pack(">H", 0x1234)))
    assert np.asarray(decoded(data))[0, :, 0].tolist() == [255, 0x12]


def test_cmyk_is_ink_on_paper():
    """Pillow writes what Adobe's programs do: inverted, and marked as theirs."""
    inks = {
        (0, 0, 0, 0): WHITE,
        (255, 0, 0, 0): (0, 255, 255),
        (0, 0, 255, 0): (255, 255, 0),
        (0, 0, 0, 255): (0, 0, 0),
    }
    for ink, color in inks.items():
        data = file_of(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
        assert b"Adobe" in data
        np.testing.assert_allclose(decoded(data).getpixel((8, 8)), color, atol=3)


def test_ycck_is_ink_on_paper_too():
    """Adobe's way of red, that is no cyan, all magenta and yellow: luma 179, chroma 171 and 1 of those inks."""
    inverted = (255 - 179, 255 - 171, 255 - 1, 0)
    data = bytearray(file_of(Image.new("CMYK", (16, 16), inverted), "JPEG", quality=95))
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    np.testing.assert_allclose(decoded(bytes(data)).getpixel((8, 8)), (255, 0, 0), atol=4)


# several pictures in a file


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_an_animation_gives_its_first_frame(kind, options):
    others = [Image.new("RGB", (24, 16), color) for color in ("red", "blue")]
    data = file_of(gradient(), kind, save_all=True, append_images=others, **options)
    assert Image.open(BytesIO(data)).n_frames == 3
    assert np.array_equal(decoded(data), gradient())


def test_a_photograph_with_a_second_one_gives_the_first():
    data = file_of(Image.new("RGB", (16, 16), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
    np.testing.assert_allclose(decoded(data).getpixel((8, 8)), (255, 0, 0), atol=4)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_long_animation_costs_no_more_than_a_short_one(kind):
    frames = [Image.new("RGB", (90, 90), (index % 256, index // 256, 7)) for index in range(1000)]
    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
    start = time.process_time()
    decoded(data)
    assert time.process_time() - start < 0.1  # all frames take a second


# bombs


def test_a_file_over_the_limit_of_bytes_is_refused_unseen():
    with pytest.raises(InvalidInputError, match=f"at most {MAX_FILE_BYTES}"):
        decoded(file_of(gradient(), "JPEG") + bytes(MAX_FILE_BYTES))


def test_a_jpeg_of_endless_scans_is_refused():
    """Each takes a pass over all its pixels: a file of a megabyte could keep a processor busy for an hour."""
    data = file_of(gradient(90, 90), "JPEG", progressive=True)
    scan = data[data.rindex(START_OF_SCAN) : -2]
    assert decoded(data[:-2] + 9 * scan + data[-2:]).size == (90, 90)
    with pytest.raises(InvalidInputError, match=f"more than {MAX_SCANS} scans"):
        decoded(data[:-2] + MAX_SCANS * scan + data[-2:])


@pytest.mark.parametrize(
    "bomb",
    [
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26))),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(2**26))),
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(2**26))),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHII", ORIENTATION, 4, 2**32 - 1, 8)),
    ],
)
def test_a_bomb_beside_the_pixels_is_harmless(bomb):
    data = png(1, 1, 8, RGB, [bytes((1, 2, 3))], bomb)
    start = time.process_time()
    with contextlib.suppress(InvalidInputError), warnings.catch_warnings(action="ignore"):
        assert decoded(data).getpixel((0, 0)) == (1, 2, 3)
    assert time.process_time() - start < 0.5


def test_warnings_are_no_failures():
    """Pillow warns of this one's EXIF, and goes on."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + struct.pack(">HHII", 0x9000, 7, 100, 9999)
    with warnings.catch_warnings(record=True, action="always"):
        assert decoded(file_of(gradient(), "PNG", exif=exif)).size == (24, 16)


def test_threads_get_each_their_own_picture():
    """Nothing is shared between calls, so that none needs to wait."""
    files = [
        file_of(Image.new("RGB", (40, 40), (index, 7, 9)), kind) for index in range(60) for kind in ("PNG", "WEBP")
    ]
    alone = [np.asarray(decoded(data)) for data in files]
    with ThreadPoolExecutor(8) as threads:
        assert all(np.array_equal(*pair) for pair in zip(threads.map(decoded, files), alone, strict=True))


# plain pixels


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


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {})]
)
def test_a_truncated_file_is_refused(kind, options):
    noise = Image.fromarray(np.random.default_rng(7).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    data = file_of(noise, kind, **options)
    for share in (0.01, 0.3, 0.9):
        with pytest.raises(InvalidInputError):
            decoded(data[: int(len(data) * share)])


def sample(kind):
    """A file of each kind, with as much in it as a file can have."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT_TO_SEE
    more = {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}
    return {
        "jpeg": lambda: file_of(gradient(), "JPEG", exif=exif, icc_profile=b"profile"),
        "progressive": lambda: file_of(gradient(), "JPEG", progressive=True),
        "cmyk": lambda: file_of(gradient().convert("CMYK"), "JPEG"),
        "mpo": lambda: file_of(gradient(), "MPO", **more),
        "png": lambda: file_of(gradient(), "PNG", exif=exif),
        "palette": lambda: file_of(gradient().convert("P"), "PNG", transparency=0),
        "apng": lambda: file_of(gradient(), "PNG", **more),
        "webp": lambda: file_of(gradient().convert("RGBA"), "WEBP", exif=exif),
        "animated webp": lambda: file_of(gradient(), "WEBP", **more),
    }[kind]()


KINDS = ("jpeg", "progressive", "cmyk", "mpo", "png", "palette", "apng", "webp", "animated webp")


@given(
    kind=st.sampled_from(KINDS),
    damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 5000),
)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata
def test_a_damaged_file_gives_an_image_or_a_refusal(kind, damage, cut):
    data = bytearray(sample(kind))
    for position, value in damage:
        data[position % len(data)] = value
    with contextlib.suppress(InvalidInputError):
        assert decoded(bytes(data[: max(cut, 1)])).mode == "RGB"


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\1\0\0WEBPVP8 "]))
@pytest.mark.filterwarnings("ignore")
def test_any_bytes_give_an_image_or_a_refusal(data, start):
    with contextlib.suppress(InvalidInputError):
        assert decoded(start + data).mode == "RGB"
