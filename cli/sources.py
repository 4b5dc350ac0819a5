"""What a person names to be indexed: files, folders and URLs."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from services.common.errors import InvalidInputError

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)


def uris_of(sources: Iterable[str]) -> list[str]:
    """Each video once, in the order named; a folder stands for the videos under it, sorted."""
    return list(dict.fromkeys(uri for source in sources for uri in _uris_of(source)))


def is_utf8(text: str) -> bool:
    """Whether it can be sent: bytes of an argument or a file name that are not UTF-8 become lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _uris_of(source: str) -> Iterator[str]:
    if not source:  # as a path, it would be the present folder
        raise InvalidInputError("an empty argument: name a file, a folder or a URL")
    if "://" in source:
        yield source
        return
    # Made absolute but not resolved: the path need not exist here, only where the indexer runs.
    path = Path(source).absolute()
    if not path.is_dir():
        yield str(path)
        return
    videos = sorted(file for file in path.rglob("*") if _is_video(file))
    if not videos:
        raise InvalidInputError(f"no videos under {path}: a video's name ends in one of {' '.join(VIDEO_SUFFIXES)}")
    yield from map(str, videos)


def _is_video(file: Path) -> bool:
    """Hidden files are none: other systems leave their notes about a video in `._video.mp4`."""
    return file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".") and file.is_file()
