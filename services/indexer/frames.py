"""Frames of a video file with exact times, in one sequential pass."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av

from services.common.media import NANOSECONDS, nanoseconds
from services.indexer.limits import Limits
from services.indexer.packets import Packet, frame_rate, frame_ticks, open_stream, packets, refuse_large, time_base

MICROSECONDS = 1_000_000

MAX_GOP_BYTES = 256 << 20
"""Kept in memory at most while the key frame to start from is looked for."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the container says of the video stream."""

    width: int
    """Of the upright picture, in coded pixels; they need not be square."""
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
    """An open video file. `frames` yields each frame once, in the order of presentation.

    Times inside are ticks of the stream.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self._open()

    def _open(self) -> None:
        self._container, self._stream = open_stream(self._path, self._max_pixels)
        self._packets = self._read()
        self.decode_errors = 0
        """Packets and frames refused so far."""
        pictures = self._decoded(self._packets)
        self._first = next(pictures, None)
        self._pictures = chain([self._first] if self._first else [], pictures)
        self._used = False

    def close(self) -> None:
        self._container.close()

    @property
    def info(self) -> StreamInfo:
        stream = self._stream
        if stream.duration is not None:
            duration_ns = nanoseconds(stream.duration * time_base(stream))
        else:
            duration_ns = (self._container.duration or 0) * (NANOSECONDS // MICROSECONDS)
        known_ns = duration_ns if duration_ns > 0 else None
        width, height = (self._first or stream).width, (self._first or stream).height
        if self._first and round(self._first.rotation / 90) % 2:
            width, height = height, width
        return StreamInfo(width, height, stream.codec.canonical_name, frame_rate(stream), known_ns)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel in its heights, before the picture is turned upright."""
        return self._stream.sample_aspect_ratio or Fraction(1)

    def skip(self, to_ns: int) -> Iterator[None]:
        """Let `frames` leave out what it can of what comes before this offset; yields as reading gets on.

        Packets are read, not sought: that costs a hundredth of decoding them, needs no index, and is right where
        clocks jump too.
        """
        self._rewind()
        if self._first and to_ns > 0:
            start = self._ticks(self._first, otherwise=0) + int(Fraction(to_ns, NANOSECONDS) / time_base(self._stream))
            held = yield from self._held(start)
            if not self._can_start_with(held, start):
                self._rewind()
        self._used = False

    def frames(self) -> Iterator[Frame]:
        """Frames with strictly increasing offsets.

        One that goes back in time is left out and counts as an error. InvalidInputError at one with too many pixels.
        """
        self._rewind()
        if self._first is None:
            return
        per_tick, parts = (time_base(self._stream) * NANOSECONDS).as_integer_ratio()
        origin = end = self._ticks(self._first, otherwise=0)
        shown = origin - 1  # when the last frame came on; `end` is until when it is shown
        for picture in self._pictures:
            ticks = self._ticks(picture, otherwise=end)
            if ticks <= shown:
                self.decode_errors += 1
                continue
            shown, end = ticks, ticks + (picture.duration or frame_ticks(self._stream))
            yield Frame(
                _rounded((shown - origin) * per_tick, parts), _rounded((end - origin) * per_tick, parts), picture
            )

    def _rewind(self) -> None:
        if self._used:
            self.close()
            self._open()
        self._used = True

    def _ticks(self, picture: av.VideoFrame, otherwise: int) -> int:
        """When a frame is presented; `otherwise` if the file does not say."""
        # AVI has times of decoding only; its pts are guesses, and wrong ones where frames are coded out of order.
        ticks = picture.dts if self._container.format.name == "avi" else picture.pts
        return otherwise if ticks is None else ticks

    def _held(self, start: int) -> Generator[None, None, list[Packet]]:
        """The packets from the last key frame at or before `start` to that time; none if that cannot be done."""
        held: list[Packet] = []
        size = 0
        for packet in self._packets:
            yield
            if packet.has_sidedata("new_extradata"):  # what the decoder must know from here on
                return []
            if packet.is_keyframe and packet.pts is not None and packet.pts <= start:
                held, size = [], 0
            held.append(packet)
            size += packet.size
            if size > MAX_GOP_BYTES:
                return []
            if packet.dts is not None and packet.dts > start:
                break
        return held if held and held[0].is_keyframe else []

    def _can_start_with(self, held: list[Packet], start: int) -> bool:
        """Let pictures begin with the key frame at or before `start`, unless the decoder needs what was before."""
        if not held:
            return False
        self._stream.codec_context.flush_buffers()
        pictures = self._decoded(chain(held, self._packets))
        first = next(pictures, None)
        # Another one than the key frame would refer to what has not been decoded.
        if not (first and first.key_frame and first.pts == held[0].pts and self._ticks(first, start + 1) <= start):
            return False
        self._pictures = chain([first], pictures)
        return True

    def _read(self) -> Iterator[Packet]:
        source = packets(self._container, self._stream)
        while True:
            packet = None
            with self._damage_counted():
                packet = next(source, None)
            if packet is None:
                return
            # Cut off by the end of the file; only transport streams mark what is damaged but may be decoded.
            if packet.is_corrupt and self._container.format.name != "mpegts":
                self.decode_errors += 1
                continue
            yield packet

    def _decoded(self, source: Iterable[Packet]) -> Iterator[av.VideoFrame]:
        for packet in chain(source, [None]):  # None asks for what the decoder still holds
            pictures: list[av.VideoFrame] = []
            with self._damage_counted():
                try:
                    pictures = self._stream.codec_context.decode(packet)
                except BlockingIOError as error:  # no thread can be started, for want of memory
                    raise MemoryError from error
            for picture in pictures:
                refuse_large(self._path.name, picture.width, picture.height, self._max_pixels)
                yield picture

    @contextmanager
    def _damage_counted(self) -> Iterator[None]:
        try:
            yield
        except MemoryError:  # FFmpeg's too: it says nothing of the file
            raise
        except av.FFmpegError:  # what follows may be sound
            self.decode_errors += 1


def _rounded(numerator: int, denominator: int) -> int:
    """As `round` of the fraction, which takes ten times as long; it is done twice for every frame."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2))


@contextmanager
def open_film(path: Path, max_pixels: int = Limits().frame_pixels) -> Iterator[Film]:
    """Open a local file; InvalidInputError if there is no video in it."""
    film = Film(path, max_pixels)
    try:
        yield film
    finally:
        film.close()
