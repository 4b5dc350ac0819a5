"""From the colors of a decoded picture to those of an ordinary screen."""

import math
from functools import cache
from typing import Any

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, ColorTrc
from numpy.typing import NDArray

WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
"""Red's and blue's share in luma, by ITU-T H.273's MatrixCoefficients: BT.709, FCC, SMPTE 240M, BT.2020."""
BT601 = (0.299, 0.114)
UNSPECIFIED = 2
HD_HEIGHT = 720
"""From here on an unspecified matrix is BT.709, below it BT.601, as players have it."""

WHITE_NITS = 203
"""What white in an ordinary picture is to a high dynamic range: ITU-R BT.2408."""
HLG_PEAK_NITS, HLG_GAMMA = 1000, 1.2
"""The screen that BT.2100 has in mind for hybrid log-gamma."""
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
"""Linear light, from the primaries of BT.2020: ITU-R BT.2087."""
KNEE = 0.5
"""Light up to this share of white stays as it is; what is brighter is pressed into the rest."""
SCREEN_GAMMA = 2.2

SIGNAL_STEPS = 4096

Light = NDArray[np.float32]
"""Linear light; 1 is the white of an ordinary picture, where nothing else is said."""


def is_hdr(frame: VideoFrame) -> bool:
    return frame.color_trc in {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}


def rgb(yuv: NDArray[Any], frame: VideoFrame) -> NDArray[np.uint8]:
    """The RGB of a YUV picture (H, W, 3), 8 bits a color or 16 in high dynamic range, that was made from `frame`."""
    if not is_hdr(frame):
        converted: NDArray[np.uint8] = cv2.transform(yuv, _matrix(frame)).astype(np.uint8, copy=False)
        return converted
    signal = cv2.transform(yuv.astype(np.float32) / 256, _matrix(frame)) / 255
    steps = (signal.clip(0, 1) * (SIGNAL_STEPS - 1)).astype(np.uint16)
    if frame.color_trc == ColorTrc.SMPTE2084:
        return _to_screen(_pq_light()[steps])
    scene = _hlg_scene()[steps]
    brightness = (scene @ LUMA_2020) ** np.float32(HLG_GAMMA - 1)
    return _to_screen(scene * brightness[..., None] * np.float32(HLG_PEAK_NITS / WHITE_NITS))


def _matrix(frame: VideoFrame) -> NDArray[np.float32]:
    """(3, 4): from YUV, 8 bits a color, to RGB."""
    unspecified = WEIGHTS[1] if frame.height >= HD_HEIGHT else BT601
    red, blue = unspecified if frame.colorspace == UNSPECIFIED else WEIGHTS.get(frame.colorspace, BT601)
    green = 1 - red - blue
    full = frame.color_range == ColorRange.JPEG
    black, luma, chroma = (0, 1.0, 1.0) if full else (16, 255 / 219, 255 / 224)
    u, v = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    linear = np.array([[luma, 0, v], [luma, -u * blue / green, -v * red / green], [luma, u, 0]])
    return np.column_stack([linear, -linear @ [black, 128, 128]]).astype(np.float32)


@cache
def _pq_light() -> Light:
    """Light of each signal by SMPTE ST 2084, in whites."""
    power = np.linspace(0, 1, SIGNAL_STEPS) ** (32 / 2523)
    share = np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)
    return (10_000 / WHITE_NITS * share ** (8192 / 1305)).astype(np.float32)


@cache
def _hlg_scene() -> Light:
    """Light before the camera, for each signal by ARIB STD-B67; 1 is its brightest."""
    signal = np.linspace(0, 1, SIGNAL_STEPS)
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


def _to_screen(light: Light) -> NDArray[np.uint8]:
    light = np.maximum(light @ TO_BT709.T, 0)
    peak = light.max(axis=2, keepdims=True)  # all three are pressed alike, which keeps the hue
    pressed = np.where(peak > KNEE, 1 - (1 - KNEE) * np.exp((KNEE - peak) / (1 - KNEE)), peak)
    signal: Light = (light * (pressed / np.maximum(peak, 1e-6))) ** np.float32(1 / SCREEN_GAMMA)
    return np.rint(255 * signal).astype(np.uint8)
