"""Frames of a video file with exact times, in one sequential pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from services.common.errors import InvalidInputError
from services.common.media import NANOSECONDS, nanoseconds

CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,gif,yuv4mpegpipe,rm,dv"
"""FFmpeg demuxers of files that are videos in themselves. Playlists (hls, dash, concat) are left out, because they make
the decoder open other files and addresses; so are pictures."""

MICROSECONDS = 1_000_000

MAX_FRAME_PIXELS = 50_000_000
"""Half as much again as 8K. A few kilobytes can announce frames that fill any memory."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the container says of the video stream."""

    width: int
    height: int
    codec: str
    frame_rate: Fraction | None
    duration_ns: int | None


@dataclass(frozen=True, slots=True)
class Frame:
    offset_ns: int
    """Since the first presented frame."""
    end_ns: int
    """Until when it is shown, as far as is known before the next one comes."""
    picture: av.VideoFrame


class Film:
    """An open video file. `frames` yields each frame once, in the order of presentation."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self.decode_errors = 0
        """Packets and frames refused so far."""

    @property
    def info(self) -> StreamInfo:
        stream, container = self._stream, self._container
        if stream.duration is not None and stream.time_base is not None:
            duration_ns = nanoseconds(stream.duration * stream.time_base)
        else:
            duration_ns = (container.duration or 0) * (NANOSECONDS // MICROSECONDS)
        known_ns = duration_ns if duration_ns > 0 else None
        return StreamInfo(stream.width, stream.height, stream.codec_context.name, self._rate, known_ns)

    def frames(self) -> Iterator[Frame]:
        """Frames with strictly increasing offsets; one that goes back in time is left out and counts as an error."""
        first: Fraction | None = None
        shown = end = Fraction(0)  # when the last frame came on, and until when it is shown
        for picture in self._pictures():
            time = _time(picture, otherwise=end)
            if first is None:
                first = time
            elif time <= shown:
                self.decode_errors += 1
                continue
            shown, end = time, time + self._length(picture)
            yield Frame(nanoseconds(shown - first), nanoseconds(end - first), picture)

    def _length(self, picture: av.VideoFrame) -> Fraction:
        """How long a frame is shown, in seconds, when none follows: by its own word, or else at the nominal rate."""
        if picture.duration and picture.time_base:
            return picture.duration * picture.time_base
        return 1 / (self._rate or Fraction(25))

    @property
    def _rate(self) -> Fraction | None:
        return self._stream.average_rate or self._stream.guessed_rate

    def _pictures(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # the container ends in the middle of something
                self.decode_errors += 1
                packet = None
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:  # a damaged packet; what follows may be sound
                self.decode_errors += 1


def _time(picture: av.VideoFrame, otherwise: Fraction) -> Fraction:
    """When a frame is presented, in seconds by the stream's own clock; `otherwise` if the file does not say."""
    if picture.pts is None or picture.time_base is None:
        return otherwise
    return picture.pts * picture.time_base


@contextmanager
def open_film(path: Path, max_pixels: int = MAX_FRAME_PIXELS) -> Iterator[Film]:
    """Open a local file; InvalidInputError if there is no video in it."""
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path), options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise InvalidInputError(f"{path.name} is not a video that can be read: {error.strerror}") from None
    with container:
        stream = _video_stream(container)
        if stream is None:
            raise InvalidInputError(f"{path.name} has no video stream")
        if not stream.codec_context:
            raise InvalidInputError(
                f"{path.name} is coded in a way that is not known here; convert it, to H.264 for one"
            )
        if stream.width * stream.height > max_pixels:
            size = f"{stream.width}x{stream.height}"
            raise InvalidInputError(f"{path.name} has frames of {size}; at most {max_pixels} pixels are decoded")
        stream.thread_type = "AUTO"
        yield Film(container, stream)


def _video_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures; the cover of a sound file is none."""
    return next(
        (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic), None
    )
