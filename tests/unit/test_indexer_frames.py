"""Frame times are exact whatever the file's rate, clock or order of coding."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from services.common.errors import InvalidInputError
from services.common.media import nanoseconds
from services.indexer.frames import open_film
from tests.videos import SyntheticVideo, write_audio, write_video

RATES = [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]


def _offsets(path: Path) -> list[int]:
    with open_film(path) as film:
        return [frame.offset_ns for frame in film.frames()]


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
