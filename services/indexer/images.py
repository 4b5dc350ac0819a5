"""Which sampled pictures are kept with a video, as JPEGs: to be shown, and to be embedded again by another model."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2

from services.common.media import MAX_IMAGE_BYTES, MAX_VIDEO_IMAGE_BYTES, Segment
from services.indexer.pictures import Picture
from services.indexer.sampling import Candidate

QUALITIES = (90, 75, 60, 45, 30, 15, 5)
"""Of JPEGs, from the one that nearly all have down to one with which 384 x 683 pixels of noise are small enough."""

SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
"""Colors as sharp as brightness: of two JPEGs of one size, this one's embedding is nearer to that of the picture
(docs/benchmarks.md, "Kept images")."""


class Keep(StrEnum):
    NONE = "none"
    SCENE = "scene"
    """Of each scene the sample nearest to its middle."""
    SAMPLES = "samples"


@dataclass(frozen=True, slots=True)
class ImageRule:
    keep: Keep = Keep.NONE
    min_side: int = 0
    """Pixels of the shorter side of sampled pictures; a model that asks for more gets more."""

    @property
    def basis(self) -> str:
        """Equal for equal rules; empty for that which holds where nothing is said."""
        return "" if self == ImageRule() else f"{self.keep} {self.min_side}"


class Images:
    """Those of one video, which are bounded as a whole: once there is no more room for one, no other is kept."""

    def __init__(self, keep: Keep, taken_bytes: int) -> None:
        """`taken_bytes`: of the images that are kept already."""
        self._keep = keep
        self._left_bytes = MAX_VIDEO_IMAGE_BYTES - taken_bytes

    def of(self, segment: Segment, samples: Sequence[Candidate]) -> tuple[bytes, ...]:
        """One for each of a scene's samples; empty for those that are not kept."""
        match self._keep:
            case Keep.NONE:
                return (b"",) * len(samples)
            case Keep.SAMPLES:
                return tuple(self._kept(sample) for sample in samples)
        middle_ns = (segment.start_ns + segment.end_ns) // 2
        nearest = min(samples, key=lambda sample: abs(sample.offset_ns - middle_ns))
        return tuple(self._kept(sample) if sample is nearest else b"" for sample in samples)

    def _kept(self, sample: Candidate) -> bytes:
        image = jpeg(sample.picture)
        self._left_bytes -= len(image)
        return image if self._left_bytes >= 0 else b""


def jpeg(picture: Picture) -> bytes:
    """The picture, RGB, in the best of QUALITIES with which it is small enough to be kept; empty if none is."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    for quality in QUALITIES:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING]
        image: bytes = cv2.imencode(".jpg", bgr, options)[1].tobytes()
        if len(image) <= MAX_IMAGE_BYTES:
            return image
    return b""
