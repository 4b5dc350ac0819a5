"""What the services hold and have answered: values that mean something to them, so that calls come past the door."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from PIL import Image

from services.common import convert
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.media import Scene, Video
from tests.fuzz.messages import Known
from videosearch.v1 import embedder_pb2, indexer_pb2, media_pb2, search_pb2, store_pb2

VIDEO_IDS = [f"film-{number}" for number in range(5)]
NEW_IDS = [f"new-{number}" for number in range(5)]
"""Of videos that calls may put; few, so that what the store holds stays small."""

TEXTS = ("a rabbit", "rain on a street", "a butterfly in the grass", "snow", "two people talk")


async def known_of(addresses: Mapping[str, str], film: Path, indexed: tuple[Video, Sequence[Scene]]) -> Known:
    """By a field's or a message's name; by an RPC's path, streams of messages that it takes."""
    async with IndexerClient(addresses["indexer"]) as indexer:
        jobs = [job.job_id for job in (await indexer.jobs()).items]
    video, scenes = indexed
    streams, pages = _streams(film, video, scenes), await _pages(addresses)
    return _values(film, video, jobs) | _messages(film, video, scenes) | streams | pages


def _values(film: Path, video: Video, jobs: Sequence[str]) -> dict[str, Sequence[Any]]:
    ids = [*VIDEO_IDS, *VIDEO_IDS, *NEW_IDS]
    return {
        "video_id": ids,
        "video_ids": ids,
        "job_id": [*jobs, "unknown"],
        "uri": [str(film), str(film.with_name("no-film.mp4")), str(film.parent), "/gone.mp4", "http://127.0.0.1/a.mp4"],
        "model": [video.model, video.model, video.model, "other"],
        "videosearch.v1.DeleteVideoRequest.video_id": [VIDEO_IDS[-1], *NEW_IDS],
        "page_token": ["", "", "", "1", VIDEO_IDS[0]],
        "cursor": [""],
        "content_sha256": ["", "", "", "0" * 64],
        "request_id": ["", "", "once", "twice"],
        "image": [_picture("JPEG"), _picture("PNG")],
        "encoded": [_picture("JPEG"), _picture("PNG"), _picture("WEBP"), _picture("JPEG")[:200]],
        "key": ["kind", "year"],
        "values": ["cartoon", "1999"],
        "prefix": ["car", ""],
        "text": TEXTS,
        "texts": TEXTS,
        "paths": ["title", "uri", "metadata", "title", "video_id"],
        "ordinal": [0, 0, 1, 2],
        "top_k": [1, 2, 10],
        "name": ["a.mp4"],
    }


def _messages(film: Path, video: Video, scenes: Sequence[Scene]) -> dict[str, Sequence[Message]]:
    vectors = [sample.vector for scene in scenes for sample in scene.samples]
    embeddings = [convert.embedding_to(vector, video.model) for vector in vectors]
    made: list[Sequence[Message]] = [
        embeddings,
        [convert.video_to(replace(video, video_id=video_id)) for video_id in (*VIDEO_IDS, *NEW_IDS)],
        [convert.scene_to(scene, video.model) for scene in scenes],
        [convert.segment_to(scene.segment) for scene in scenes],
        [embedder_pb2.RawImage(width=4, height=3, rgb=bytes(36))],
        [media_pb2.Rational(numerator=30000, denominator=1001)],
        *_requests(film, video, embeddings),
    ]
    return {messages[0].DESCRIPTOR.full_name: messages for messages in made}


def _requests(film: Path, video: Video, embeddings: Sequence[media_pb2.Embedding]) -> list[Sequence[Message]]:
    """Some that would do, of the RPCs that take no others by chance."""
    stored = [media_pb2.QueryPart(scene=media_pb2.SceneReference(video_id=one)) for one in VIDEO_IDS]
    parts = [*(media_pb2.QueryPart(embedding=embedding) for embedding in embeddings), *stored]
    sought = [search_pb2.SearchPart(text=text) for text in TEXTS]
    liked = [search_pb2.Example(video_id=video_id) for video_id in VIDEO_IDS]
    images = [embedder_pb2.Image(encoded=_picture(kind)) for kind in ("JPEG", "PNG", "WEBP")]
    named = [convert.video_to(replace(video, video_id=video_id)) for video_id in VIDEO_IDS]
    return [
        [store_pb2.FindScenesRequest(parts=[part]) for part in parts],
        [store_pb2.FindVideosRequest(parts=[part]) for part in parts],
        [store_pb2.ScoreTimelineRequest(video_id=VIDEO_IDS[0], parts=[part]) for part in parts],
        [store_pb2.UpdateVideoRequest(video=one, update_mask=FieldMask(paths=["title", "metadata"])) for one in named],
        [search_pb2.SearchVideosRequest(parts=[part]) for part in sought],
        [search_pb2.SearchServiceScoreTimelineRequest(video_id=VIDEO_IDS[1], parts=[part]) for part in sought],
        [search_pb2.RecommendVideosRequest(liked=[example]) for example in liked],
        [embedder_pb2.EmbedTextsRequest(texts=TEXTS[:count]) for count in (1, 2)],
        [embedder_pb2.EmbedImagesRequest(images=[image]) for image in images],
        [indexer_pb2.IndexVideoRequest(uri=str(film), video_id=video_id) for video_id in NEW_IDS],
    ]


def _streams(film: Path, video: Video, scenes: Sequence[Scene]) -> dict[str, Sequence[Sequence[Message]]]:
    puts = [
        [
            store_pb2.PutVideoRequest(video=convert.video_to(replace(video, video_id=video_id))),
            *(store_pb2.PutVideoRequest(scene=convert.scene_to(scene, video.model)) for scene in scenes),
        ]
        for video_id in (*VIDEO_IDS, *NEW_IDS)
    ]
    data = film.read_bytes()
    uploads = [
        [
            indexer_pb2.UploadVideoRequest(upload=indexer_pb2.Upload(name="up.mp4", video_id=video_id)),
            *(indexer_pb2.UploadVideoRequest(chunk=data[at : at + 5000]) for at in range(0, len(data), 5000)),
        ]
        for video_id in NEW_IDS
    ]
    return {"/videosearch.v1.StoreService/PutVideo": puts, "/videosearch.v1.IndexerService/UploadVideo": uploads}


def staged(videos: Sequence[Video], scenes: Sequence[Scene]) -> dict[str, Sequence[Sequence[Message]]]:
    """Embeddings of another model for the videos, as they were put last."""
    model = "other"
    headers = [convert.video_to(video) for video in videos]
    return {
        "/videosearch.v1.StoreService/PutEmbeddings": [
            [
                store_pb2.PutEmbeddingsRequest(
                    header=store_pb2.EmbeddingsHeader(
                        video_id=video.video_id, index_time=video.index_time, model=model, discard=discard
                    )
                ),
                *(
                    store_pb2.PutEmbeddingsRequest(
                        scene=store_pb2.SceneEmbeddings(
                            embeddings=[convert.embedding_to(sample.vector, model) for sample in scene.samples]
                        )
                    )
                    for scene in scenes
                ),
            ]
            for video in headers
            for discard in (False, True)
        ]
    }


async def _pages(addresses: Mapping[str, str]) -> dict[str, Sequence[Message]]:
    """Requests for a second page."""
    scenes = {"text": TEXTS[0], "top_k": 1}
    async with SearchClient(addresses["search"]) as search:
        first: Any = await search._stub.SearchScenes(search_pb2.SearchScenesRequest(**scenes), timeout=30)
    requests = [search_pb2.SearchScenesRequest(**scenes, cursor=cursor) for cursor in ("", first.next_cursor)]
    return {requests[0].DESCRIPTOR.full_name: requests}


def _picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(data, kind)
    return data.getvalue()
