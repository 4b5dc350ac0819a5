"""Pictures made of decoded frames: small ones for the detector, and those that the model sees."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias, cast

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from services.indexer import colors

Picture = NDArray[np.uint8]
"""A frame of 8 bits a color, (H, W, 3); RGB at the size that the model asks for, where nothing else is said."""

DETECTION_SIZE = (128, 72)
"""Width and height of the frames that the detector sees: it compares pixel by pixel, though the film's size may change.
At PySceneDetect's default, twice that, it finds the same cuts."""

FAST = Interpolation.FAST_BILINEAR
"""Looks at few of the pixels, as PySceneDetect's own shrinking does: enough to see a cut."""

LONGEST = 4
"""The longer side of a sampled picture, in shorter ones: wider than any screen is squeezed, to bound its size."""


Orientation: TypeAlias = tuple[int, int, int, int]
"""Where column and row of each pixel go, by row vectors: the linear part of a matrix of libavutil's display.h."""

AS_IT_IS: Orientation = (1, 0, 0, 1)


class Pictures:
    """Of one film."""

    def __init__(self, shorter_side: int, pixel_aspect: Fraction = Fraction(1)) -> None:
        """`shorter_side` of the sampled pictures, in pixels; `pixel_aspect` is a pixel's width in its heights."""
        self._shorter_side = shorter_side
        self._pixel_aspect = pixel_aspect
        self._shrink = VideoReformatter()
        self._resize = VideoReformatter()
        self._orientations: dict[int, Orientation] = {}
        """By the angle that a frame is to be turned by."""

    def small(self, frame: VideoFrame) -> Picture:
        """The frame as the detector sees it: BGR, (H, W, 3)."""
        # Most frames are YUV already: colors are converted when few pixels are left.
        small = self._shrink.reformat(frame, *DETECTION_SIZE, "yuv420p", interpolation=FAST, threads=1)
        bgr: Picture = cv2.cvtColor(_bytes(small.to_ndarray()), cv2.COLOR_YUV2BGR_I420)
        return bgr

    def sample(self, frame: VideoFrame) -> Picture:
        """The frame as the model shall see it: upright, as wide as it is shown, RGB (H, W, 3).

        What lies under transparent parts shows. Fields of interlaced frames are one picture: shrinking averages them.
        """
        shorter = self._shorter_side
        sides = frame.width * self._pixel_aspect, Fraction(frame.height)
        scale = shorter / min(sides)
        width, height = (min(round(side * scale), LONGEST * shorter) for side in sides)
        # Colors are converted when few pixels are left.
        coded = "rgb24" if _is_rgb(frame) else "yuv444p16le" if colors.is_hdr(frame) else "yuv444p"
        small = self._resize.reformat(frame, width, height, coded, interpolation=Interpolation.AREA, threads=1)
        picture = small.to_ndarray(channel_last=True)
        # PyAV never gives a frame free whose side data were asked for: ask once for each angle.
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = _orientation(frame)
        shown = _bytes(picture) if coded == "rgb24" else colors.rgb(picture, frame)
        return _turned(shown, self._orientations[frame.rotation])


def _turned(picture: Picture, orientation: Orientation) -> Picture:
    a, b, c, d = orientation
    if abs(a) < abs(b):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _orientation(frame: VideoFrame) -> Orientation:
    try:
        side_data = cast("Mapping[str, memoryview]", frame.side_data)
        a, b, _, c, d, *_ = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32).tolist()
    except (KeyError, ValueError):  # nothing is asked for, or PyAV does not know something else that the frame carries
        return AS_IT_IS
    return a, b, c, d


def _is_rgb(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.has_palette


def _bytes(array: NDArray[np.generic]) -> Picture:
    return array.astype(np.uint8, copy=False)
