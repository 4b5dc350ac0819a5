"""Videos, scenes, embeddings and hits."""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from fractions import Fraction
from typing import Any

from services.common import vectors
from services.common.convert.values import duration_from, duration_to, enum_from, enum_to, text_from, time_to
from services.common.errors import InvalidInputError
from services.common.media import (
    NO_VECTOR,
    Detection,
    Detector,
    Model,
    Sample,
    Scene,
    SceneHit,
    Segment,
    Vector,
    Video,
    VideoHit,
)
from videosearch.v1 import embedder_pb2, media_pb2

VIDEO_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_METADATA_KEYS, MAX_KEY_LENGTH, MAX_VALUE_LENGTH = 64, 128, 4096
MAX_METADATA_BYTES = 16 << 10
"""Of all keys and values of a video, in UTF-8: a ranking of many videos must fit into a message."""

LONGEST = {"uri": 4096, "title": 1000, "codec": 64, "content_sha256": 64, "model": 128}
"""Most characters of a video's texts, whether it is to be indexed or put; a message has room for many such videos."""

LONGEST_SCENE_NS = 2**63 - 1
"""What the decoder's process is told is in 64 bits."""

DETECTOR = {
    media_pb2.DETECTOR_ADAPTIVE: Detector.ADAPTIVE,
    media_pb2.DETECTOR_CONTENT: Detector.CONTENT,
    media_pb2.DETECTOR_THRESHOLD: Detector.THRESHOLD,
    media_pb2.DETECTOR_HASH: Detector.HASH,
    media_pb2.DETECTOR_HISTOGRAM: Detector.HISTOGRAM,
    media_pb2.DETECTOR_TRANSNETV2: Detector.TRANSNETV2,
}


def video_id_from(value: str, field: str = "video_id") -> str:
    if not VIDEO_ID.fullmatch(value):
        raise InvalidInputError(f"{field} {value[:128]!r} must be 1 to 128 characters of A-Z a-z 0-9 . _ : -")
    return value


def video_text_from(value: str, field: str) -> str:
    """One of a video's texts, named as in LONGEST."""
    return text_from(value, LONGEST[field], field)


def metadata_from(metadata: Mapping[str, str]) -> dict[str, str]:
    if len(metadata) > MAX_METADATA_KEYS:
        raise InvalidInputError(f"metadata has {len(metadata)} keys; at most {MAX_METADATA_KEYS} are kept")
    for key, value in metadata.items():
        if not 1 <= len(key) <= MAX_KEY_LENGTH or len(value) > MAX_VALUE_LENGTH:
            limits = f"keys have 1 to {MAX_KEY_LENGTH} characters, values at most {MAX_VALUE_LENGTH}"
            raise InvalidInputError(f"metadata {key[:MAX_KEY_LENGTH]!r}: {limits}")
    size = sum(len(text.encode()) for item in metadata.items() for text in item)
    if size > MAX_METADATA_BYTES:
        raise InvalidInputError(f"metadata takes {size} bytes; at most {MAX_METADATA_BYTES} are kept")
    return dict(metadata)


def embedding_to(vector: Vector, model: str) -> media_pb2.Embedding:
    return media_pb2.Embedding(model=model, vector=vectors.to_bytes(vector))


def segment_to(segment: Segment) -> media_pb2.VideoSegment:
    return media_pb2.VideoSegment(start_offset=duration_to(segment.start_ns), end_offset=duration_to(segment.end_ns))


def segment_from(segment: media_pb2.VideoSegment, field: str = "segment") -> Segment:
    start_ns = duration_from(segment.start_offset, f"{field}.start_offset")
    end_ns = duration_from(segment.end_offset, f"{field}.end_offset")
    if start_ns >= end_ns:
        raise InvalidInputError(f"{field} must end after it starts; got {start_ns} to {end_ns} ns")
    return Segment(start_ns, end_ns)


def detection_to(detection: Detection) -> media_pb2.SceneDetection:
    return media_pb2.SceneDetection(
        detector=enum_to(DETECTOR, detection.detector),
        threshold=detection.threshold,
        min_scene_duration=duration_to(detection.min_scene_ns),
        max_scene_duration=duration_to(detection.max_scene_ns),
    )


def detection_from(detection: media_pb2.SceneDetection) -> Detection:
    """The detection asked for; what is unset has its default."""
    asked: dict[str, Any] = {}
    if detection.HasField("detector"):
        asked["detector"] = enum_from(DETECTOR, detection.detector, "detection.detector")
    if detection.HasField("threshold"):
        asked["threshold"] = detection.threshold
    if detection.HasField("min_scene_duration"):
        asked["min_scene_ns"] = duration_from(detection.min_scene_duration, "detection.min_scene_duration")
    if detection.HasField("max_scene_duration"):
        asked["max_scene_ns"] = duration_from(detection.max_scene_duration, "detection.max_scene_duration")
    if not 0 < asked.get("threshold", 1) < math.inf:
        raise InvalidInputError(f"detection.threshold is {detection.threshold}; it must be greater than 0")
    if not 0 < asked.get("max_scene_ns", 1) <= LONGEST_SCENE_NS:
        raise InvalidInputError("detection.max_scene_duration must be greater than 0, and at most 292 years")
    return Detection(**asked)


def video_to(video: Video) -> media_pb2.Video:
    return media_pb2.Video(
        video_id=video.video_id,
        uri=video.uri,
        title=video.title,
        metadata=video.metadata,
        content_sha256=video.content_sha256,
        duration=None if video.duration_ns is None else duration_to(video.duration_ns),
        decoded_duration=duration_to(video.decoded_ns),
        decode_error_count=video.decode_errors,
        width=video.width,
        height=video.height,
        codec=video.codec,
        frame_rate=None if video.frame_rate is None else _rational_to(video.frame_rate),
        scene_count=video.scene_count,
        model=video.model,
        detection=detection_to(video.detection),
        index_time=None if video.index_time is None else time_to(video.index_time),
    )


def video_from(video: media_pb2.Video) -> Video:
    return Video(
        video_id=video_id_from(video.video_id),
        uri=video.uri,
        title=video.title,
        metadata=metadata_from(video.metadata),
        content_sha256=video.content_sha256,
        duration_ns=duration_from(video.duration, "duration") if video.HasField("duration") else None,
        decoded_ns=duration_from(video.decoded_duration, "decoded_duration"),
        decode_errors=video.decode_error_count,
        width=video.width,
        height=video.height,
        codec=video.codec,
        frame_rate=_rational_from(video.frame_rate) if video.HasField("frame_rate") else None,
        scene_count=video.scene_count,
        model=video.model,
        detection=detection_from(video.detection),
        index_time=video.index_time.ToDatetime(UTC) if video.HasField("index_time") else None,
    )


def _rational_to(value: Fraction) -> media_pb2.Rational:
    return media_pb2.Rational(numerator=value.numerator, denominator=value.denominator)


def _rational_from(value: media_pb2.Rational) -> Fraction:
    if value.denominator <= 0:
        raise InvalidInputError(f"frame_rate.denominator is {value.denominator}; it must be greater than 0")
    return Fraction(value.numerator, value.denominator)


def scene_to(scene: Scene, model: str) -> media_pb2.Scene:
    samples = [
        media_pb2.SampledFrame(
            offset=duration_to(sample.offset_ns),
            embedding=embedding_to(sample.vector, model) if sample.vector.size else None,
            image=sample.image,
        )
        for sample in scene.samples
    ]
    return media_pb2.Scene(ordinal=scene.ordinal, segment=segment_to(scene.segment), samples=samples)


def scene_from(scene: media_pb2.Scene) -> Scene:
    """A scene as listed: what its samples have of embeddings is not taken over."""
    samples = (
        Sample(duration_from(sample.offset, f"samples[{place}].offset"), NO_VECTOR, sample.image)
        for place, sample in enumerate(scene.samples)
    )
    return Scene(scene.ordinal, segment_from(scene.segment), tuple(samples))


def scene_hit_to(hit: SceneHit) -> media_pb2.SceneHit:
    return media_pb2.SceneHit(
        video_id=hit.video_id,
        ordinal=hit.ordinal,
        segment=segment_to(hit.segment),
        score=hit.score,
        best_offset=duration_to(hit.best_offset_ns),
        merged_before_count=hit.merged_before,
        merged_after_count=hit.merged_after,
        thumbnail=hit.thumbnail,
    )


def scene_hit_from(hit: media_pb2.SceneHit) -> SceneHit:
    return SceneHit(
        video_id=hit.video_id,
        ordinal=hit.ordinal,
        segment=segment_from(hit.segment),
        score=hit.score,
        best_offset_ns=duration_from(hit.best_offset, "best_offset"),
        merged_before=hit.merged_before_count,
        merged_after=hit.merged_after_count,
        thumbnail=hit.thumbnail,
    )


def video_hit_to(hit: VideoHit) -> media_pb2.VideoHit:
    return media_pb2.VideoHit(
        video=video_to(hit.video), score=hit.score, scenes=[scene_hit_to(scene) for scene in hit.scenes]
    )


def video_hit_from(hit: media_pb2.VideoHit) -> VideoHit:
    return VideoHit(
        video=video_from(hit.video), score=hit.score, scenes=tuple(scene_hit_from(scene) for scene in hit.scenes)
    )


def model_to(model: Model) -> embedder_pb2.Model:
    return embedder_pb2.Model(
        name=model.name,
        fingerprint=model.fingerprint,
        dimension=model.dimension,
        image_size_pixels=model.image_size,
        max_text_tokens=model.max_text_tokens,
        logit_scale=model.logit_scale,
        device=model.device,
        precision=model.precision,
        back_end=model.back_end,
    )


def model_from(model: embedder_pb2.Model) -> Model:
    return Model(
        name=model.name,
        fingerprint=model.fingerprint,
        dimension=model.dimension,
        image_size=model.image_size_pixels,
        max_text_tokens=model.max_text_tokens,
        logit_scale=model.logit_scale,
        device=model.device,
        precision=model.precision,
        back_end=model.back_end,
    )
