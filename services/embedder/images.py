"""From an image file or plain pixels to an RGB picture, without being fooled by it."""

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from services.common.errors import InvalidInputError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_ASPECT = 100
"""Longer side over shorter side. Resized by its shorter side, a thin line of an image would fill the memory."""

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
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:  # reads the header only
            _check_size(opened.width, opened.height, max_pixels)
            return _rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError:
        raise InvalidInputError("not a JPEG, PNG or WebP file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError(f"too large: {error}") from None
    except DECODER_ERRORS as error:
        raise InvalidInputError(f"cannot be decoded: {error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # 16-bit gray, which convert() would clip to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise InvalidInputError(f"{width}x{height} is no size of an image; both sides are at least 1 pixel")
    if width * height > max_pixels:
        raise InvalidInputError(f"{width}x{height} has more than {max_pixels} pixels; scale it down")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidInputError(f"{width}x{height} is too narrow; one side is at most {MAX_ASPECT} times the other")
