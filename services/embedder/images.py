"""From an image file or plain pixels to an RGB picture, without being fooled by it."""

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from services.common.errors import InvalidInputError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_FILE_BYTES = 12 * 2**20
"""Of an image file; less than the largest message, so that the answer names the image."""

MAX_ASPECT = 100
"""Longer side over shorter side. Resized by its shorter side, a thin line of an image would fill the memory."""

START_OF_SCAN = b"\xff\xda"
MAX_SCANS = 50
"""Encoders write about ten."""

DECODER_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, struct.error)
"""What Pillow raises for files that are damaged in one way or another."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """Rows of red, green and blue bytes: 3 * width * height of them."""

    width: int
    height: int
    rgb: bytes


def picture(image: bytes | RawImage, max_pixels: int) -> Image.Image:
    """The image, upright and in RGB, of an image file's bytes or of plain pixels.

    InvalidInputError if it cannot be decoded or has more than `max_pixels`.
    """
    return _decoded(image, max_pixels) if isinstance(image, bytes) else _framed(image, max_pixels)


def _framed(image: RawImage, max_pixels: int) -> Image.Image:
    _check_size(image.width, image.height, max_pixels)
    expected = 3 * image.width * image.height
    if len(image.rgb) != expected:
        size = f"{image.width}x{image.height}"
        raise InvalidInputError(f"raw pixels of {size} take {expected} bytes (3 a pixel); got {len(image.rgb)}")
    return Image.frombuffer("RGB", (image.width, image.height), image.rgb)


def _decoded(data: bytes, max_pixels: int) -> Image.Image:
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInputError(f"a file of {len(data)} bytes; at most {MAX_FILE_BYTES} are taken, so scale it down")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:  # reads the header only
            _check_size(opened.width, opened.height, max_pixels)
            _check_scans(opened, data)
            opened.load()  # of an animation the first frame
            return _rgb(_upright(opened))
    except UnidentifiedImageError:
        raise InvalidInputError("not a JPEG, PNG or WebP file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError(f"too large: {error}") from None
    except DECODER_ERRORS as error:
        raise InvalidInputError(f"cannot be decoded: {error}") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except DECODER_ERRORS:  # damaged EXIF says nothing, and the picture may still be good
        return image
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """As a person sees it: what is transparent has no color, whatever the file hides there, and shows white paper."""
    if image.mode.startswith("I;16"):  # 16-bit gray, which convert() would clip to white
        gray = np.asarray(image)
        shown = np.where(gray == image.info.get("transparency", -1), 255, gray >> 8)
        return Image.fromarray(shown.astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(picture, mask=picture)
    return paper


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise InvalidInputError(f"{width}x{height} is no size of an image; both sides are at least 1 pixel")
    if width * height > max_pixels:
        raise InvalidInputError(f"{width}x{height} has more than {max_pixels} pixels; scale it down")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidInputError(f"{width}x{height} is too narrow; one side is at most {MAX_ASPECT} times the other")


def _check_scans(image: Image.Image, data: bytes) -> None:
    """Each scan of a progressive JPEG costs a pass over all pixels, however few bytes it has."""
    if image.format in ("JPEG", "MPO") and data.count(START_OF_SCAN) > MAX_SCANS:
        raise InvalidInputError(f"a JPEG of more than {MAX_SCANS} scans; save it anew")
