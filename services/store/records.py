"""Values at rest. Decoders raise one of MALFORMED for bytes that no encoder made; the database names the record."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from fractions import Fraction
from typing import Any

import numpy as np

from services.common.media import Detection, Detector, Video
from services.store.scenes import Halves, Images, SceneTable

MALFORMED = (ValueError, TypeError, LookupError)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a whole store holds. Kept beside the indexes, so that a record that went missing is noticed."""

    model: str = ""
    """Fingerprint of the model of all embeddings; empty while the store is."""
    dimension: int = 0
    video_count: int = 0
    scene_count: int = 0
    sample_count: int = 0
    generation: int = 0
    """Of the embeddings that are searched."""


@dataclass(frozen=True, slots=True)
class Staged:
    """Embeddings of another model that are kept beside those that are searched: which they are."""

    model: str
    dimension: int
    generation: int


def encode_contents(contents: Contents) -> bytes:
    return _encode(asdict(contents))


def decode_contents(data: bytes) -> Contents:
    return Contents(**_decode(data, Contents))


def encode_staged(staged: Staged) -> bytes:
    return _encode(asdict(staged))


def decode_staged(data: bytes) -> Staged:
    return Staged(**_decode(data, Staged))


def encode_video(video: Video) -> bytes:
    rate, stored = video.frame_rate, video.index_time
    return _encode(
        asdict(video)
        | {
            "frame_rate": None if rate is None else f"{rate.numerator}/{rate.denominator}",
            "index_time": None if stored is None else stored.isoformat(),
        }
    )


def decode_video(data: bytes) -> Video:
    record = _decode(data, Video)
    rate, stored, detection = record["frame_rate"], record["index_time"], record["detection"]
    record["frame_rate"] = None if rate is None else Fraction(rate)
    record["index_time"] = None if stored is None else datetime.fromisoformat(stored)
    record["detection"] = Detection(**(detection | {"detector": Detector(detection["detector"])}))
    return Video(**record)


def encode_scenes(scenes: SceneTable) -> bytes:
    """Little-endian int64: how many scenes, then the columns one after the other."""
    columns = (scenes.starts_ns, scenes.ends_ns, scenes.sample_counts, scenes.offsets_ns)
    return np.concatenate(([len(scenes)], *columns)).astype("<i8").tobytes()


def decode_scenes(data: bytes) -> SceneTable:
    numbers = np.frombuffer(data, "<i8").astype(np.int64, copy=False)
    count = int(numbers[0]) if len(numbers) else -1
    starts, ends, sample_counts = (numbers[1 + n * count : 1 + (n + 1) * count] for n in range(3))
    offsets = numbers[1 + 3 * count :]
    if count < 1 or len(sample_counts) != count or sample_counts.min() < 1 or sample_counts.sum() != len(offsets):
        raise ValueError("its columns do not fit together")
    return SceneTable(starts, ends, sample_counts, offsets)


def encode_embeddings(embeddings: Halves) -> bytes:
    """Little-endian float16, row after row."""
    return embeddings.astype("<f2", copy=False).tobytes()


def decode_embeddings(data: bytes, sample_count: int, dimension: int) -> Halves:
    return np.frombuffer(data, "<f2").astype(np.float16, copy=False).reshape(sample_count, dimension)


def encode_images(images: Images) -> bytes:
    """Little-endian int64: how many, then their sizes; then one after the other."""
    sizes = [len(image) for image in images]
    return b"".join((np.array([len(images), *sizes], "<i8").tobytes(), *images))


def decode_images(data: bytes) -> Images:
    count = int(np.frombuffer(data, "<i8", 1)[0])
    sizes = np.frombuffer(data, "<i8", count, offset=8)
    ends = 8 + sizes.nbytes + np.cumsum(sizes)
    if count < 1 or sizes.min() < 0 or ends[-1] != len(data):
        raise ValueError("its images do not fit together")
    return tuple(data[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True))


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _decode(data: bytes, kind: type[Contents | Staged | Video]) -> dict[str, Any]:
    record = json.loads(data)
    if not isinstance(record, dict) or set(record) != {field.name for field in fields(kind)}:
        raise ValueError(f"it is no {kind.__name__.lower()}")
    return record
