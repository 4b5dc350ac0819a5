"""Database keys, whose byte order is the order of what they name.

Text is UTF-8, which sorts as its code points do; an ordinal is four bytes, highest first. A NUL, which no video id
holds, ends the id, so that "a" with all of its scenes sorts before "ab".
"""

VIDEOS, SCENES, IMAGES, META = b"video/", b"scene/", b"image/", b"meta/"
"""Prefixes: video id -> video; video id -> its scenes; (video id, ordinal) -> images of the scene's samples; name ->
what holds for the whole store."""

ALL_EMBEDDINGS = b"embedding"
"""What the prefixes of all generations begin with."""


def embeddings(generation: int) -> bytes:
    """Prefix of (video id, ordinal) -> embeddings of the scene's samples; another model's are another generation."""
    return b"embedding.%d/" % generation if generation else b"embedding/"


def generation(key: bytes) -> int:
    """Of an embedding's key; ValueError if it is none."""
    number = key[: key.index(b"/")].removeprefix(ALL_EMBEDDINGS).removeprefix(b".")
    return int(number or 0)


def pack_video(video_id: str) -> bytes:
    return video_id.encode()


def unpack_video(key: bytes) -> str:
    """ValueError if it is no such key."""
    video_id = key.decode()
    if not video_id or "\0" in video_id:
        raise ValueError("not the key of a video")
    return video_id


def pack_scene(video_id: str, ordinal: int) -> bytes:
    return video_id.encode() + b"\0" + ordinal.to_bytes(4, "big")


def unpack_scene(key: bytes) -> tuple[str, int]:
    """Video id and ordinal."""
    video_id, _, ordinal = key.partition(b"\0")
    return video_id.decode(), int.from_bytes(ordinal, "big")


def pack_scenes(video_id: str) -> bytes:
    """What the keys of all of a video's scenes, and of no other's, begin with."""
    return video_id.encode() + b"\0"
