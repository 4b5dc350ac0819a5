"""Frame times are exact whatever the file's rate, clock or order of coding."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from services.common.errors import InvalidInputError
from services.common.media import NANOSECONDS, nanoseconds
from services.indexer.frames import Film, Frame, open_film
from tests.videos import SyntheticVideo, frame_number, write_audio, write_video

RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]


def _offsets(path: Path) -> list[int]:
    with open_film(path) as film:
        return [frame.offset_ns for frame in film.frames()]


def _number(frame: Frame) -> int:
    return frame_number(frame.picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False))


def _numbers(film: Film) -> list[int]:
    return [_number(frame) for frame in film.frames()]


def _late(film: Film, from_ns: int) -> list[tuple[int, int]]:
    """Numbers and offsets of the frames that are left when those before are skipped."""
    list(film.skip(from_ns))
    return [(_number(frame), frame.offset_ns) for frame in film.frames()]


def _joined(path: Path, *parts: SyntheticVideo) -> Path:
    path.write_bytes(b"".join(part.path.read_bytes() for part in parts))
    return path


def _trim(path: Path, frames: int, *, fps: int) -> None:
    """Let the mp4 file's last edit begin so many frames later; its ticks are FFmpeg's 12800 and 1000 a second."""
    data = bytearray(path.read_bytes())
    count_at = data.index(b"elst") + 8
    (count,) = struct.unpack_from(">I", data, count_at)
    edit_at = count_at + 4 + 12 * (count - 1)
    duration, start = struct.unpack_from(">Ii", data, edit_at)
    struct.pack_into(">Ii", data, edit_at, duration - frames * 1000 // fps, start + frames * 12800 // fps)
    path.write_bytes(data)


def _exact(video: SyntheticVideo) -> list[int]:
    return [nanoseconds(offset) for offset in video.frame_offsets]


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_offsets_are_exact_at_constant_rates(tmp_path: Path, fps: Fraction) -> None:
    video = write_video(tmp_path / "video.mp4", [30], fps=fps)
    assert _offsets(video.path) == _exact(video)


@pytest.mark.parametrize("container", ["mp4", "mov", "ts"])
def test_offsets_are_exact_with_b_frames(tmp_path: Path, container: str) -> None:
    video = write_video(tmp_path / f"video.{container}", [40], fps=25, bframes=2)
    assert _offsets(video.path) == _exact(video)


def test_offsets_are_exact_at_a_variable_rate(tmp_path: Path) -> None:
    pts = np.cumsum(np.random.default_rng(1).integers(1, 9, 40)).tolist()
    video = write_video(tmp_path / "video.mp4", [40], pts=pts, time_base=Fraction(1, 120))
    assert _offsets(video.path) == _exact(video)


def test_offsets_count_from_the_first_presented_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.ts", [20], fps=25, first_pts=250)
    assert _offsets(video.path) == _exact(video)


def test_a_matroska_file_is_exact_to_its_millisecond(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mkv", [30], fps=Fraction(30000, 1001))
    differences = np.abs(np.array(_offsets(video.path)) - _exact(video))
    assert differences.max() <= 1_000_000


def test_the_last_frame_ends_when_it_is_no_longer_shown(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [30], fps=Fraction(30000, 1001))
    with open_film(video.path) as film:
        last = list(film.frames())[-1]
    assert last.end_ns == nanoseconds(video.duration)


def test_a_film_tells_what_the_container_says(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [30], fps=Fraction(30000, 1001), size=(176, 144))
    with open_film(video.path) as film:
        info = film.info
    assert (info.width, info.height, info.codec, info.frame_rate) == (176, 144, "h264", Fraction(30000, 1001))
    assert info.duration_ns == nanoseconds(video.duration)


def test_a_one_frame_video_has_one_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [1])
    assert _offsets(video.path) == [0]


def test_a_truncated_file_yields_the_frames_before_the_cut(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.ts", [100], fps=25, gop=10)
    data = video.path.read_bytes()
    video.path.write_bytes(data[: len(data) // 2])
    offsets = _offsets(video.path)
    assert 20 < len(offsets) < 80
    assert offsets == _exact(video)[: len(offsets)]


def test_damage_in_the_middle_is_counted_and_passed_over(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [100], fps=25, gop=10)
    data = bytearray(video.path.read_bytes())
    start = data.index(b"mdat") + len(data) // 4
    data[start : start + 2000] = bytes(2000)
    video.path.write_bytes(data)
    with open_film(video.path) as film:
        frames = list(film.frames())
        assert film.decode_errors > 0
    assert frames[-1].offset_ns > nanoseconds(Fraction(3))


def test_frames_that_the_decoder_holds_come_out_when_the_file_breaks_off(tmp_path: Path) -> None:
    first = {"movflags": "+faststart"}
    video = write_video(tmp_path / "video.mp4", [60], bframes=3, container_options=first)
    with av.open(video.path) as container:
        packets = [packet for packet in container.demux() if packet.size]
        whole = sorted((packet.pts or 0) // 512 for packet in packets[:40])
        end = (packets[39].pos or 0) + packets[39].size
    video.path.write_bytes(video.path.read_bytes()[: end + 10])
    with open_film(video.path) as film:
        assert _numbers(film) == whole
        assert film.decode_errors == 1


@pytest.mark.parametrize("first_pts", [0, 50], ids=["at once", "after an empty edit"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_an_edit_list_may_begin_the_film_within_a_group_of_pictures(
    tmp_path: Path, bframes: int, first_pts: int
) -> None:
    video = write_video(tmp_path / "video.mp4", [36], fps=25, bframes=bframes, first_pts=first_pts)
    _trim(video.path, 6, fps=25)
    with open_film(video.path) as film:
        assert _numbers(film) == list(range(6, 36))
        late = _late(film, 10 * NANOSECONDS // 25)
    assert late[-20:] == [(number, (number - 6) * NANOSECONDS // 25) for number in range(16, 36)]


def test_what_an_edit_list_puts_before_the_start_is_left_out(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [36], fps=25, bframes=2, first_pts=-6)
    with open_film(video.path) as film:
        assert _numbers(film) == list(range(6, 36))


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("clocks", [(0, 0), (1000, 0), (0, 1000), (5000, 2000)], ids=str)
def test_transport_streams_joined_are_one_film(tmp_path: Path, clocks: tuple[int, int], bframes: int) -> None:
    parts = [
        write_video(tmp_path / f"{number}.ts", [60], fps=25, first_pts=first, bframes=bframes)
        for number, first in enumerate(clocks)
    ]
    with open_film(_joined(tmp_path / "joined.ts", *parts)) as film:
        seen = [(_number(frame), frame.offset_ns) for frame in film.frames()]
        late = _late(film, 4 * NANOSECONDS)
        assert film.decode_errors == 0
    assert seen == [(number % 60, number * NANOSECONDS // 25) for number in range(120)]
    assert late[-20:] == seen[100:]
    assert len(late) < 40


def test_a_clock_that_goes_back_a_little_costs_the_frames_that_are_told_twice(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{first}.ts", [30], fps=25, first_pts=first) for first in (0, 20)]
    with open_film(_joined(tmp_path / "joined.ts", *parts)) as film:
        assert _numbers(film) == [*range(30), *range(10, 30)]
        assert film.decode_errors == 10


def test_a_long_still_in_a_file_that_cannot_be_joined_stays(tmp_path: Path) -> None:
    pts = [*range(10), *range(1000, 1010)]
    video = write_video(tmp_path / "video.mp4", [20], fps=25, pts=pts)
    assert _offsets(video.path) == _exact(video)


def test_the_film_from_a_late_time_on_is_not_decoded_whole(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [200], fps=25, bframes=2)
    with open_film(video.path) as film:
        late = [number for number, _ in _late(film, 7 * NANOSECONDS)]
    assert 168 <= late[0] <= 175
    assert late[-25:] == list(range(175, 200))


def test_a_film_can_be_read_again(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [30])
    with open_film(video.path) as film:
        next(film.frames())
        assert _numbers(film) == list(range(30))


def test_the_size_may_change_in_the_middle(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / "1.ts", [20], fps=25),
        write_video(tmp_path / "2.ts", [20], fps=25, size=(320, 192), first_pts=20),
    ]
    with open_film(_joined(tmp_path / "joined.ts", *parts)) as film:
        frames = list(film.frames())
    assert [(frame.picture.width, _number(frame)) for frame in frames] == [
        (width, number) for width in (160, 320) for number in range(20)
    ]
    assert [frame.offset_ns for frame in frames] == [number * NANOSECONDS // 25 for number in range(40)]


def test_frames_that_grow_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / "1.ts", [200], fps=25),
        write_video(tmp_path / "2.ts", [20], fps=25, size=(320, 192), first_pts=200),
    ]
    path = _joined(tmp_path / "joined.ts", *parts)
    with pytest.raises(InvalidInputError, match="320x192"), open_film(path, max_pixels=160 * 96) as film:
        list(film.frames())


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_video_streams_the_default_one_is_the_film(tmp_path: Path, default: int) -> None:
    _write_streams(tmp_path / "video.mkv", [(160, 96), (320, 192)], default)
    with open_film(tmp_path / "video.mkv") as film:
        assert film.info.width == (160, 320)[default]


def test_of_several_default_streams_the_largest_is_the_film(tmp_path: Path) -> None:
    _write_streams(tmp_path / "video.ts", [(160, 96), (320, 192), (80, 48)])
    with open_film(tmp_path / "video.ts") as film:
        assert film.info.width == 320


def _write_streams(path: Path, sizes: list[tuple[int, int]], default: int | None = None) -> None:
    with av.open(path, "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in sizes]
        for number, (stream, size) in enumerate(zip(streams, sizes, strict=True)):
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream in streams:
            for picture in (av.VideoFrame(stream.width, stream.height) for _ in range(5)):
                container.mux(stream.encode(picture))
            container.mux(stream.encode())


@pytest.mark.parametrize(("degrees", "size"), [(0, (160, 96)), (90, (96, 160)), (180, (160, 96)), (-90, (96, 160))])
def test_a_film_is_described_upright(tmp_path: Path, degrees: int, size: tuple[int, int]) -> None:
    video = write_video(tmp_path / "video.mp4", [2], prepare=lambda stream: stream.set_display_rotation(degrees))
    with open_film(video.path) as film:
        assert (film.info.width, film.info.height) == size


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_a_film_tells_the_shape_of_its_pixels(tmp_path: Path, container: str) -> None:
    def widen(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)

    video = write_video(tmp_path / f"video.{container}", [2], prepare=widen)
    with open_film(video.path) as film:
        assert film.pixel_aspect == Fraction(64, 45)


@pytest.mark.parametrize("content", [b"no video at all, only words\n" * 40, b"\0" * 4096], ids=["text", "zeros"])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="not a video"), open_film(path):
        pass


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "sound.mp4")
    with pytest.raises(InvalidInputError, match="no video stream"), open_film(path):
        pass


def test_a_picture_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(InvalidInputError, match="not a video"), open_film(path):
        pass


def test_a_playlist_cannot_make_the_decoder_open_other_files(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.ts", [10])
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video.path}\n#EXT-X-ENDLIST\n")
    with pytest.raises(InvalidInputError, match="not a video"), open_film(playlist):
        pass


def test_frames_of_too_many_pixels_are_refused_before_one_is_decoded(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", [1], size=(160, 96))
    with pytest.raises(InvalidInputError, match="160x96"), open_film(video.path, max_pixels=160 * 96 - 1):
        pass
