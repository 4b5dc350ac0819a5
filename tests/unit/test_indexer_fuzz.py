"""Whatever is in a file, its analysis ends in events that fit together or in a refusal with a reason.

Beside those truncated at every percent, VIDEOSEARCH_FUZZ_FILES says how many are damaged at random: 20000 take minutes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.common.errors import InvalidInputError
from services.indexer.child import analyze
from tests.fuzzing import damaged, task_of, truncated, with_header_first
from tests.videos import write_video

SCENES = [14, 12, 14]
FILMS = ("h264.mp4", "h264.mov", "h264.ts", "vp9.mkv", "vp8.webm", "mpeg4.avi")

FILES = int(os.environ.get("VIDEOSEARCH_FUZZ_FILES", "300"))

WORKER = (sys.executable, "-X", "faulthandler", "-m", "tests.fuzzing")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """By the name of the file."""
    folder = tmp_path_factory.mktemp("films")
    paths = [
        write_video(folder / "h264.mp4", SCENES).path,
        write_video(folder / "h264.ts", SCENES, bframes=2).path,
        write_video(folder / "vp9.mkv", SCENES, codec="libvpx-vp9").path,
        write_video(folder / "vp8.webm", SCENES, codec="libvpx").path,
        write_video(folder / "mpeg4.avi", SCENES, codec="mpeg4").path,
    ]
    paths.append(with_header_first(paths[0]))
    return {path.name: path.read_bytes() for path in paths}


def variants(film: bytes) -> Iterator[bytes]:
    for percent in range(1, 100):
        yield truncated(film, percent)
    for seed in range(FILES // len(FILMS)):
        yield damaged(film, seed)


def outcomes(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each file with what its analysis has come to: see `tests.fuzzing`, or `crashed`."""
    while paths:
        names = "".join(f"{path}\n" for path in paths)
        ended = subprocess.run(WORKER, input=names, capture_output=True, text=True, check=False)
        lines = ended.stdout.splitlines()
        assert ended.returncode <= 0, f"{paths[len(lines)].name}: {ended.stderr}"
        if ended.returncode:
            lines.append("crashed")
        yield from zip(paths, lines, strict=False)
        paths = paths[len(lines) :]


async def is_refused(path: Path) -> bool:
    """Whether the decoder's own process ends in a refusal."""
    try:
        async with analyze(task_of(path)) as events:
            async for _ in events:
                pass
    except InvalidInputError:
        return True
    return False


@pytest.mark.timeout(300 + FILES)
@pytest.mark.parametrize("name", FILMS)
async def test_damage_ends_in_fitting_events_or_in_a_refusal(
    name: str, films: dict[str, bytes], tmp_path: Path
) -> None:
    paths = []
    for number, data in enumerate(variants(films[name])):
        paths.append(tmp_path / f"{number}-{name}")
        paths[-1].write_bytes(data)
    seen = dict(outcomes(paths))
    odd = {path: outcome for path, outcome in seen.items() if outcome not in {"indexed", "refused"}}
    for path, outcome in odd.items():
        assert outcome in {"crashed", "out of memory"}, path.name
        assert await is_refused(path), path.name
    assert len(seen) == len(paths)
    assert "indexed" in seen.values()
