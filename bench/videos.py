"""The videos that benchmarks run on."""

from pathlib import Path

import av

from tools.samples import FOLDER, ROOT, sample_videos

BIG_BUCK_BUNNY = ROOT.parent / "shared" / "data" / "videos" / "big_buck_bunny.mp4"

REPEATS = 114
"""Of the sample, to make a film of ten minutes."""


def bench_video() -> Path:
    """The film Big Buck Bunny (10 minutes, 720p) where it lies beside the project, else its beginning, repeated."""
    if BIG_BUCK_BUNNY.exists():
        return BIG_BUCK_BUNNY
    film = FOLDER / "ten-minutes.mp4"
    if not film.exists():
        write_repeated(sample_videos()[0], film, REPEATS)
    return film


def write_repeated(video: Path, path: Path, times: int) -> None:
    """Write the video's pictures several times, one after the other, into one file; nothing is coded anew."""
    with av.open(video) as first, av.open(path, "w") as out:
        source = first.streams.video[0]
        stream = out.add_stream_from_template(source)
        for turn in range(times):
            shift = turn * (source.duration or 0)
            with av.open(video) as again:
                for packet in again.demux(video=0):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        out.mux(packet)
