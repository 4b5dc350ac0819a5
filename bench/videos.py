"""The video that a benchmark runs on."""

from pathlib import Path

from tools.samples import FOLDER, ROOT, sample_videos

BIG_BUCK_BUNNY = ROOT.parent / "shared" / "data" / "videos" / "big_buck_bunny.mp4"


def bench_video() -> Path:
    """The whole film Big Buck Bunny (10 minutes, 720p) where it lies beside the project, else its beginning."""
    if BIG_BUCK_BUNNY.exists():
        return BIG_BUCK_BUNNY
    sample_videos()
    return FOLDER / "bigbuckbunny.mp4"
