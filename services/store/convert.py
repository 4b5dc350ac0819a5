"""The store's messages to and from its values."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from services.common import convert, vectors
from services.common.errors import InvalidInputError, within
from services.common.media import Scene, Vector, Video
from services.store.draft import Draft
from services.store.staging import EmbeddingsDraft
from videosearch.v1 import media_pb2, store_pb2

UPDATABLE = {"uri", "title", "metadata"}
"""Fields of a video that UpdateVideo changes."""

MAX_PAGE_BYTES = 4 << 20
"""A page of videos ends here, well below the limit of a message, whatever their metadata."""


VideoPage = TypeVar("VideoPage", store_pb2.ListVideosResponse, store_pb2.ListMissingEmbeddingsResponse)


async def draft_from(requests: AsyncIterator[store_pb2.PutVideoRequest]) -> Draft:
    """Read a client's stream to its end."""
    messages = aiter(requests)
    first = await anext(messages, store_pb2.PutVideoRequest())
    if not first.HasField("video"):
        raise InvalidInputError("video must be set in the first message of PutVideo")
    with within("video"):
        video = _video_from(first.video)
    draft = Draft(video)
    async for message in messages:
        if not message.HasField("scene"):
            raise InvalidInputError("scene must be set in each message of PutVideo but the first")
        with within("scene"):
            scene = _scene_from(message.scene, draft.video.model)
        draft.add(scene)
    return draft


async def embeddings_from(requests: AsyncIterator[store_pb2.PutEmbeddingsRequest]) -> EmbeddingsDraft:
    """Read a client's stream to its end."""
    messages = aiter(requests)
    first = await anext(messages, store_pb2.PutEmbeddingsRequest())
    if not first.HasField("header"):
        raise InvalidInputError("header must be set in the first message of PutEmbeddings")
    header = first.header
    with within("header"):
        video_id, model = convert.video_id_from(header.video_id), model_from(header.model)
        draft = EmbeddingsDraft(video_id, convert.time_from(header.index_time, "index_time"), model, header.discard)
    async for message in messages:
        if not message.HasField("scene"):
            raise InvalidInputError("scene must be set in each message of PutEmbeddings but the first")
        embeddings = enumerate(message.scene.embeddings)
        draft.add([_vector_from(one, model, f"scene.embeddings[{place}]") for place, one in embeddings])
    return draft


def model_from(fingerprint: str) -> str:
    if not fingerprint:
        raise InvalidInputError("model is empty: give the fingerprint of a model, as the embedder's GetModel tells it")
    return convert.video_text_from(fingerprint, "model")


def changes_from(request: store_pb2.UpdateVideoRequest) -> dict[str, Any]:
    """The fields of the mask with their new values."""
    video, paths = request.video, request.update_mask.paths
    if not paths or not set(paths) <= UPDATABLE:
        raise InvalidInputError(f"update_mask is {list(paths)}; it must name some of {', '.join(sorted(UPDATABLE))}")
    with within("video"):
        values = {
            "uri": convert.video_text_from(video.uri, "uri"),
            "title": convert.video_text_from(video.title, "title"),
            "metadata": convert.metadata_from(video.metadata),
        }
    return {path: values[path] for path in paths}


def video_page_to(page: VideoPage, videos: Sequence[Video], *, more: bool) -> VideoPage:
    """The page, still empty, with as many of the videos as a message should hold; its token is the id of the last."""
    size = 0
    for video in videos:
        message = convert.video_to(video)
        size += message.ByteSize()
        if page.videos and size > MAX_PAGE_BYTES:
            more = True
            break
        page.videos.append(message)
    if more:
        page.next_page_token = page.videos[-1].video_id
    return page


def after_video_from(page_token: str) -> str:
    """The video id that the page before ended with; "" at the beginning."""
    return convert.video_id_from(page_token, "page_token") if page_token else ""


def scene_page_to(scenes: Sequence[Scene], *, more: bool) -> store_pb2.ListScenesResponse:
    """The token is the next ordinal."""
    token = str(scenes[-1].ordinal + 1) if more else ""
    return store_pb2.ListScenesResponse(scenes=[convert.scene_to(scene, "") for scene in scenes], next_page_token=token)


def _video_from(video: media_pb2.Video) -> Video:
    video.ClearField("index_time")  # the store sets it, whatever came
    for field in convert.LONGEST:
        convert.video_text_from(getattr(video, field), field)
    return convert.video_from(video)


def _scene_from(scene: media_pb2.Scene, model: str) -> Scene:
    """A scene with its embeddings, all of the model."""
    vectorless = convert.scene_from(scene)
    samples = (
        replace(sample, vector=_vector_from(sampled.embedding, model, f"samples[{place}].embedding"))
        for place, (sample, sampled) in enumerate(zip(vectorless.samples, scene.samples, strict=True))
    )
    return Scene(scene.ordinal, vectorless.segment, tuple(samples))


def _vector_from(embedding: media_pb2.Embedding, model: str, path: str) -> Vector:
    if embedding.model != model:
        raise InvalidInputError(f"{path}.model is {embedding.model[:128]!r}, where {model!r} is due")
    try:
        return vectors.from_bytes(embedding.vector)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}.vector: {error}") from error
