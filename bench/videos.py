"""The video that a benchmark runs on."""

from pathlib import Path

import av

from tools.samples import FOLDER, ROOT, sample_videos

BIG_BUCK_BUNNY = ROOT.parent / "shared" / "data" / "videos" / "big_buck_bunny.mp4"


def bench_video() -> Path:
    """The whole film Big Buck Bunny (10 minutes, 720p) where it lies beside the project, else its beginning."""
    if BIG_BUCK_BUNNY.exists():
        return BIG_BUCK_BUNNY
    sample_videos()
    return FOLDER / "bigbuckbunny.mp4"


def write_twice(video: Path, path: Path) -> None:
    """Write the video's pictures twice, one after the other, into one file; nothing is coded anew."""
    with av.open(video) as first, av.open(path, "w") as out:
        source = first.streams.video[0]
        stream = out.add_stream_from_template(source)
        for shift in (0, source.duration or 0):
            with av.open(video) as again:
                for packet in again.demux(video=0):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                        packet.stream = stream
                        out.mux(packet)
