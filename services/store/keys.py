"""Database keys, whose byte order is the order of what they name.

Text is UTF-8, which sorts as its code points do; an ordinal is four bytes, highest first. A NUL, which no video id
holds, ends the id, so that "a" with all of its scenes sorts before "ab".
"""


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
