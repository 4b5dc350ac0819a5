"""The video stream of a file and its packets, on one clock."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from services.common.errors import InvalidInputError

CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,gif,yuv4mpegpipe,rm,dv"
"""FFmpeg demuxers of files that are videos in themselves. Playlists (hls, dash, concat) are left out, because they make
the decoder open other files and addresses; so are pictures."""

NOMINAL_RATE = Fraction(25)
"""Of a stream that says neither its rate nor how long its frames are shown."""

JUMP_BACK_S, JUMP_AHEAD_S = 1, 10
"""A clock that goes back by more is another clock: files were joined. A step ahead is a frame that stays on for long;
where the container is made to be joined it is a jump as well, and FFmpeg draws that line at ten seconds too."""

JOINABLE = {"mpegts", "mpeg", "ogg"}
"""Containers that are videos still when they are written one after the other; FFmpeg's AVFMT_TS_DISCONT."""

Packet: TypeAlias = "av.Packet[VideoStream]"


def open_stream(path: Path, max_pixels: int) -> tuple[InputContainer, VideoStream]:
    """A local file and its video stream; InvalidInputError if there is none that can be decoded."""
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file", "max_pixels": str(max_pixels)}
    try:
        container = av.open(str(path), options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except av.FFmpegError as error:
        raise InvalidInputError(f"{path.name} is not a video that can be read: {error.strerror}") from None
    try:
        stream = _video_stream(container, path.name)
        refuse_large(path.name, stream.width, stream.height, max_pixels)
    except InvalidInputError:
        container.close()
        raise
    stream.thread_type = "AUTO"
    return container, stream


def refuse_large(name: str, width: int, height: int, max_pixels: int) -> None:
    """InvalidInputError if frames of this size are too large to decode."""
    if width * height > max_pixels:
        raise InvalidInputError(f"{name} has frames of {width}x{height}; at most {max_pixels} pixels are decoded")


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream that a player would show: the default one, then the largest. The cover of a sound file is none."""
    moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not moving:
        raise InvalidInputError(f"{name} has no video stream")
    known = [stream for stream in moving if stream.codec_context]
    if not known:
        raise InvalidInputError(f"{name} is coded in a way that is not known here; convert it, to H.264 for one")
    return max(known, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.width * stream.height))


def frame_rate(stream: VideoStream) -> Fraction | None:
    return stream.average_rate or stream.guessed_rate


def frame_ticks(stream: VideoStream) -> int:
    """Nominal time that a frame is shown."""
    return max(1, round(1 / (frame_rate(stream) or NOMINAL_RATE) / time_base(stream)))


def time_base(stream: VideoStream) -> Fraction:
    """Seconds of a tick."""
    return stream.time_base or 1 / NOMINAL_RATE


class Timeline:
    """Moves packets whose clock has jumped to where those before them end."""

    def __init__(self, stream: VideoStream, *, joinable: bool) -> None:
        self._most_back = round(JUMP_BACK_S / time_base(stream))
        self._most_ahead = round(JUMP_AHEAD_S / time_base(stream)) if joinable else None
        self._nominal = frame_ticks(stream)
        self._clock: int | None = None
        self._shift = 0
        self._end = 0

    def place(self, packet: Packet) -> None:
        # A file may leave out decoding times at its start; presentation times alone go up and down.
        if packet.dts is not None:
            if self._jumped(packet.dts):
                self._shift = self._end - (packet.dts if packet.pts is None else packet.pts)
            self._clock = packet.dts
            packet.dts += self._shift
        if packet.pts is not None:
            packet.pts += self._shift
            self._end = max(self._end, packet.pts + (packet.duration or self._nominal))

    def _jumped(self, clock: int) -> bool:
        if self._clock is None:
            return False
        step = clock - self._clock
        return step < -self._most_back or (self._most_ahead is not None and step > self._most_ahead)


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """Those that hold something, in the order of decoding; raises what the demuxer does."""
    timeline = Timeline(stream, joinable=container.format.name in JOINABLE)
    with suppress(IndexError):  # PyAV's, behind the last packet, if streams have come up on the way
        for packet in container.demux(stream):
            if packet.size:  # an empty one repeats the frame before it, but a decoder would take it for the end
                timeline.place(packet)
                yield packet
