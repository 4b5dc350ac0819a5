"""The store's messages to and from its values."""

import base64
from collections.abc import AsyncIterator

import numpy as np

from services.common import convert, vectors
from services.common.errors import InvalidInputError
from services.common.media import Sample, Scene, Segment, Vector, Video
from services.store import keys
from services.store.catalog import SceneHits, ScenePage, Stats, VideoPage
from services.store.draft import Draft
from videosearch.v1 import media_pb2, store_pb2


async def draft_from(requests: AsyncIterator[store_pb2.PutVideoRequest], max_scenes: int) -> Draft:
    """Read a client's stream to its end."""
    messages = aiter(requests)
    first = await anext(messages, store_pb2.PutVideoRequest())
    if not first.HasField("video"):
        raise InvalidInputError("the first message of PutVideo must be the video")
    draft = Draft(_video_from(first.video), max_scenes)
    async for message in messages:
        if not message.HasField("scene"):
            raise InvalidInputError("after its first message PutVideo takes scenes only")
        draft.add(_scene_from(message.scene, draft.video.model))
    return draft


def query_from(query: media_pb2.Embedding) -> Vector:
    if not query.model:
        raise InvalidInputError("query.model is empty: give the fingerprint of the model that made the embedding")
    return vectors.from_bytes(query.vector)


def video_page_to(page: VideoPage) -> store_pb2.ListVideosResponse:
    token = _token(keys.pack_video(page.videos[-1].video_id)) if page.more else ""
    return store_pb2.ListVideosResponse(videos=map(convert.video_to, page.videos), next_page_token=token)


def after_video_from(page_token: str) -> str:
    """The video id that the page before ended with; "" at the beginning."""
    if not page_token:
        return ""
    try:
        return convert.video_id_from(keys.unpack_video(_key(page_token)))
    except (ValueError, InvalidInputError):
        raise _bad_token(page_token) from None


def scene_page_to(page: ScenePage, video_id: str) -> store_pb2.ListScenesResponse:
    scenes, ends = page.scenes, np.cumsum(page.scenes.sample_counts).tolist()
    columns = zip(scenes.starts_ns.tolist(), scenes.ends_ns.tolist(), scenes.sample_counts.tolist(), ends, strict=True)
    listed = [
        Scene(
            page.first + n,
            Segment(start_ns, end_ns),
            tuple(Sample(offset_ns, convert.NO_VECTOR) for offset_ns in scenes.offsets_ns[end - count : end].tolist()),
        )
        for n, (start_ns, end_ns, count, end) in enumerate(columns)
    ]
    token = _token(keys.pack_scene(video_id, listed[-1].ordinal)) if page.more else ""
    return store_pb2.ListScenesResponse(scenes=[convert.scene_to(scene, "") for scene in listed], next_page_token=token)


def first_ordinal_from(page_token: str, video_id: str) -> int:
    """The first ordinal of the page; 0 at the beginning."""
    if not page_token:
        return 0
    try:
        token_video_id, last = keys.unpack_scene(_key(page_token))
    except ValueError:
        raise _bad_token(page_token) from None
    if token_video_id != video_id:
        raise _bad_token(page_token)
    return last + 1


def scene_hits_to(found: SceneHits) -> store_pb2.FindScenesResponse:
    return store_pb2.FindScenesResponse(
        hits=map(convert.scene_hit_to, found.hits), videos=map(convert.video_to, found.videos)
    )


def stats_to(stats: Stats) -> store_pb2.GetStatsResponse:
    contents = stats.contents
    return store_pb2.GetStatsResponse(
        video_count=contents.video_count,
        scene_count=contents.scene_count,
        sample_count=contents.sample_count,
        model=contents.model,
        dimension=contents.dimension,
        disk_size_bytes=stats.disk_size_bytes,
    )


def _video_from(video: media_pb2.Video) -> Video:
    video.ClearField("index_time")  # the store sets it, whatever came
    return convert.video_from(video)


def _scene_from(scene: media_pb2.Scene, model: str) -> Scene:
    """A scene with its embeddings, all of the model."""
    vectorless = convert.scene_from(scene)
    samples = (
        Sample(sample.offset_ns, _vector_from(sampled.embedding, model, scene.ordinal))
        for sample, sampled in zip(vectorless.samples, scene.samples, strict=True)
    )
    return Scene(scene.ordinal, vectorless.segment, tuple(samples))


def _vector_from(embedding: media_pb2.Embedding, model: str, ordinal: int) -> Vector:
    if embedding.model != model:
        raise InvalidInputError(
            f"scene {ordinal} has an embedding of model {embedding.model!r}, its video is of {model!r}"
        )
    return vectors.from_bytes(embedding.vector)


def _token(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def _key(token: str) -> bytes:
    return base64.b64decode(token, altchars=b"-_", validate=True)


def _bad_token(token: str) -> InvalidInputError:
    return InvalidInputError(f"page_token {token[:64]!r} is none that this list has returned; begin again without one")
