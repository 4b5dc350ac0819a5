"""What is wrong with a request is told by the path of the field, where callers of any language can read it."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.searches import searching

EMBEDDING = {"model": "words-1", "vector": b"\0\0\0\0"}
SEGMENT = {"start_offset": {"seconds": 1}}
SPAN = {"end_offset": {"seconds": 1}}
EARLY = {"offset": {"seconds": -1}}
PART = {"text": "rain"}
FIND = [
    ({"parts": [{"embedding": {"vector": b"xyz"}}]}, "parts[0].embedding.model"),
    ({"parts": [{"embedding": {"model": "m", "vector": b"xyz"}}]}, "parts[0].embedding"),
    ({}, "parts"),
    ({"parts": [{"video_id": "a/b"}]}, "parts[0].video_id"),
]
RANK = [
    ({"top_k": 0}, "top_k"),
    ({"filter": {"video_ids": ["v", "a/b"]}}, "filter.video_ids"),
    ({"filter": {"metadata": {"": "x"}}}, "filter.metadata"),
    ({"filter": {"condition": {"all": {"conditions": [{}]}}}}, "filter.condition.all.conditions[0]"),
    ({"filter": {"condition": {"metadata_in": {"key": "k"}}}}, "filter.condition.metadata_in.values"),
    ({"scene_scoring": 77}, "scene_scoring"),
    ({"softmax_temperature": 1}, "softmax_temperature"),
    ({"time_window": SEGMENT}, "time_window"),
    ({"min_score": float("nan")}, "min_score"),
    ({"merge_ratio": 2}, "merge_ratio"),
    ({"cursor": "x"}, "cursor"),
]
DESCRIBE = [
    ({}, "text"),
    ({"text": "rain", "parts": [PART]}, "text"),
    ({"parts": [PART] * 101}, "parts"),
    ({"parts": [PART, {"text": " "}]}, "parts[1].text"),
    ({"parts": [PART, {"image": "å".encode()}]}, "parts[1].image"),
    ({"parts": [PART | {"weight": 0}]}, "parts[0].weight"),
    ({"parts": [PART, {"moment": {"video_id": "v", "offset": {"seconds": -1}}}]}, "parts[1].moment.offset"),
]
VIDEO = {"video_id": "v", "model": "m"}
PUT = [
    ([], "video"),
    ([{"video": {"video_id": "a/b"}}], "video.video_id"),
    ([{"video": VIDEO | {"title": "x" * 1001}}], "video.title"),
    ([{"video": VIDEO | {"metadata": {"": "x"}}}], "video.metadata"),
    ([{"video": VIDEO | {"frame_rate": {}}}], "video.frame_rate.denominator"),
    ([{"video": VIDEO}, {}], "scene"),
    ([{"video": VIDEO}, {"scene": {"segment": SEGMENT}}], "scene.segment"),
    ([{"video": VIDEO}, {"scene": {"segment": SPAN, "samples": [EARLY]}}], "scene.samples[0].offset"),
]


def under(key: str, values: dict[str, Any], cases: Iterable[tuple[dict[str, Any], str]]) -> list[tuple[str, Any, str]]:
    """Cases of a method, each with these values too."""
    return [(key, values | case, field) for case, field in cases]


STORE = [
    *under("FindScenes", {}, FIND),
    *under("FindVideos", {}, FIND),
    *under("ScoreTimeline", {"video_id": "v"}, FIND),
    *under("FindScenes", {"parts": [{"video_id": "rabbit"}]}, RANK),
    *under("FindVideos", {"parts": [{"video_id": "rabbit"}]}, RANK),
    ("FindScenes", {"query": EMBEDDING, "parts": [{}]}, "query"),
    ("FindScenes", {"query": {"vector": b""}}, "query.model"),
    ("FindVideos", {"parts": [{"video_id": "rabbit"}], "diversity": 2}, "diversity"),
    ("FindVideos", {"parts": [{"video_id": "rabbit"}], "diversity": 1, "cursor": "x"}, "cursor"),
    ("GetVideo", {"video_id": ""}, "video_id"),
    ("DeleteVideo", {"video_id": ""}, "video_id"),
    ("ListVideos", {"page_size": -1}, "page_size"),
    ("ListVideos", {"page_token": "a/b"}, "page_token"),
    ("ListScenes", {"video_id": "rabbit", "page_token": "x"}, "page_token"),
    ("ListMissingEmbeddings", {}, "model"),
    ("SwitchModel", {}, "model"),
    ("GetThumbnail", {"video_id": "rabbit", "offset": {"seconds": -1}}, "offset"),
    ("UpdateVideo", {"video": {"video_id": "a/b"}}, "video.video_id"),
    ("UpdateVideo", {"video": {"video_id": "v"}, "update_mask": {"paths": ["nothing"]}}, "update_mask"),
    ("UpdateVideo", {"video": VIDEO | {"title": "x" * 1001}, "update_mask": {"paths": ["uri"]}}, "video.title"),
    *(("PutVideo", messages, field) for messages, field in PUT),
    ("PutEmbeddings", [], "header"),
    ("PutEmbeddings", [{"header": {"video_id": "a/b"}}], "header.video_id"),
    ("PutEmbeddings", [{"header": VIDEO}, {"scene": {"embeddings": [{}]}}], "scene.embeddings[0].model"),
]
SEARCH = [
    *under("SearchScenes", {}, DESCRIBE),
    *under("SearchVideos", {}, DESCRIBE),
    *under("ScoreTimeline", {"video_id": "rabbit"}, DESCRIBE),
    *under("SearchScenes", {"text": "rain"}, RANK),
    *under("SearchVideos", {"text": "rain"}, RANK),
    ("SearchScenes", {"text": "rain", "video_fields": {"paths": ["nothing"]}}, "video_fields"),
    ("ScoreTimeline", {"text": "rain", "video_id": ""}, "video_id"),
    ("RecommendVideos", {}, "liked"),
    ("RecommendVideos", {"liked": [{}]}, "liked[0]"),
    ("RecommendVideos", {"liked": [{"video_id": "v"}] * 101}, "liked"),
    ("RecommendVideos", {"liked": [{"video_id": "v"}], "disliked": [{"scene": {}}]}, "disliked[0].scene.video_id"),
]
DETECTION = {"detection": {"detector": 77}}
JOB = [
    ({"video_id": "a/b"}, "video_id"),
    ({"request_id": "x" * 129}, "request_id"),
    ({"title": "x" * 1001}, "title"),
    ({"metadata": {"": "x"}}, "metadata"),
    (DETECTION, "detection.detector"),
    (
        {"detection": {"min_scene_duration": {"seconds": 9}, "max_scene_duration": {"seconds": 9}}},
        "detection.max_scene_duration",
    ),
]
INDEXER = [
    *under("IndexVideo", {"uri": "/v.mp4"}, JOB),
    ("IndexVideo", {}, "uri"),
    ("IndexVideo", {"uri": "/etc/passwd"}, "uri"),
    ("IndexVideo", {"uri": "http://elsewhere/v.mp4"}, "uri"),
    ("IndexVideo", {"uri": "upload:v.mp4"}, "uri"),
    ("ListIndexJobs", {"states": [1, 77]}, "states[1]"),
    ("ListIndexJobs", {"page_token": "x"}, "page_token"),
    ("UploadVideo", [], "upload"),
    ("UploadVideo", [{"upload": {"name": "a/b"}}], "upload.name"),
    ("UploadVideo", [{"upload": {"name": "v", "content_sha256": "x"}}], "upload.content_sha256"),
    ("UploadVideo", [{"upload": {"name": "v", "content_sha256": "0" * 64}}, {"chunk": b"x"}], "upload.content_sha256"),
    *(("UploadVideo", [{"upload": {"name": "v"} | wrong}], f"upload.{field}") for wrong, field in JOB),
    ("UploadVideo", [{"upload": {"name": "v"}}, {}], "chunk"),
    ("UploadVideo", [{"upload": {"name": "v"}}], "chunk"),
]


async def told(client: Any, method: str, given: Any) -> str:
    """The field that a bad request's answer names; of a client stream, `given` has its messages."""
    described = descriptor_pool.Default().FindMethodByName(f"{client.service}.{method}")
    message = message_factory.GetMessageClass(described.input_type)
    async with grpc.aio.insecure_channel(client.address) as channel:
        call = getattr(client.stub_type(channel), method)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call(_each(message(**one) for one in given) if described.client_streaming else message(**given))
    found = rpc_status.from_call(failure.value)
    assert (failure.value.code(), found.message) == (grpc.StatusCode.INVALID_ARGUMENT, failure.value.details())
    request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(request) for detail in found.details)
    return ", ".join(violation.field for violation in request.field_violations)


async def _each(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def check(client: Any, cases: Iterable[tuple[str, Any, str]]) -> None:
    wrong = [
        (method, given, said) for method, given, field in cases if (said := await told(client, method, given)) != field
    ]
    assert not wrong


async def test_the_store_names_the_field_that_is_wrong(tmp_path):
    async with searching(tmp_path) as world:
        await check(world.videos, STORE)


async def test_search_names_its_own_field_that_is_wrong(tmp_path):
    async with searching(tmp_path) as world:
        await check(world.client, SEARCH)


async def test_the_indexer_names_the_field_that_is_wrong(world):
    await check(world.client, INDEXER)
