"""Callers and servers of a version to come: what this one does not know of their messages it passes over or refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import InvalidInputError
from services.common.jobs import JobStage
from services.common.ranking import VideoRanking
from tests.clients.buf import SERVICES
from tests.clients.versions import later, saying_more
from tests.stores import store
from tools.samples import FOLDER
from tools.stack import Stack

LATER = later()

BIKES = {"uri": str(FOLDER / "bikes.mp4"), "video_id": "bikes", "metadata": {"place": "city"}}
EMBEDDING = {"model": "ours", "vector": "AACAPw=="}
SPAN = {"start_offset": "0s", "end_offset": "2s"}
SCENE = {"segment": SPAN, "samples": [{"offset": "1s", "embedding": EMBEDDING}]}
FILM = [{"video": {"video_id": "film", "model": "ours", "frame_rate": {"denominator": 1}}}, {"scene": SCENE}]
ADAPTIVE = {"detector": "DETECTOR_ADAPTIVE", "min_scene_duration": "0.6s"}

with_the_services = pytest.mark.asyncio(loop_scope="session")


def address_of(system: Stack, path: str) -> str:
    return system.addresses[path.partition("Service")[0].lower()]


async def called(system: Stack, path: str, **request: Any) -> list[Any]:
    return await LATER.call(address_of(system, path), path, saying_more(LATER.request(path, **request)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def job(system: Stack) -> Any:
    """Of a video that a later caller has let index."""
    (queued,) = await called(system, "IndexerService/IndexVideo", **BIKES, detection=ADAPTIVE)
    return (await called(system, "IndexerService/WatchIndexJob", job_id=queued.job.job_id))[-1].job


@with_the_services
async def test_a_later_caller_indexes(job: Any) -> None:
    assert (MessageToDict(job)["state"], job.video_id, job.scene_count) == ("INDEX_JOB_STATE_SUCCEEDED", "bikes", 6)


MOMENT = {"moment": {"video_id": "bikes", "offset": "1s"}}
FILTER = {"condition": {"all": {"conditions": [{"metadata_in": {"key": "place", "values": ["city"]}}]}}}


@with_the_services
@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("EmbedderService/GetModel", {}),
        ("EmbedderService/EmbedImages", {"images": [{"raw": {"width": 1, "height": 1, "rgb": "/wAA"}}]}),
        ("IndexerService/ListIndexJobs", {"page_size": 1}),
        ("SearchService/SearchVideos", {"text": "rain", "filter": FILTER}),
        ("SearchService/SearchScenes", {"parts": [{"text": "rain"}, MOMENT], "time_window": SPAN}),
        ("SearchService/RecommendVideos", {"liked": [MOMENT]}),
        ("StoreService/FindScenes", {"parts": [MOMENT], "include_named": True}),
        ("StoreService/ListScenes", {"video_id": "bikes"}),
    ],
)
async def test_a_later_caller_is_answered_as_one_of_today(system: Stack, path: str, asked: dict[str, Any]) -> None:
    today = await LATER.call(address_of(system, path), path, LATER.request(path, **asked))
    assert await called(system, path, **asked) == today
    assert today[0].ByteSize()


async def test_what_a_later_caller_puts_is_found(tmp_path: Path) -> None:
    async with store(tmp_path) as videos:
        messages = [saying_more(LATER.request("StoreService/PutVideo", **message)) for message in FILM]
        (put,) = await LATER.call(videos.address, "StoreService/PutVideo", *messages)
        assert await videos.video("film") == (await videos.videos()).items[0]
        assert (put.video.scene_count, len((await videos.scenes("film")).items)) == (1, 1)


NEW_PART = {"later_content": "a song"}
REFUSED = [
    ("EmbedderService/EmbedImages", [{"images": [NEW_PART]}], "images[0]"),
    ("IndexerService/IndexVideo", [{**BIKES, "detection": {"detector": "LATER_Detector"}}], "detection.detector"),
    ("IndexerService/ListIndexJobs", [{"states": [1, "LATER_IndexJobState"]}], "states[1]"),
    ("IndexerService/UploadVideo", [NEW_PART], "upload"),
    ("IndexerService/UploadVideo", [{"upload": {"name": "film.mp4"}}, NEW_PART], "chunk"),
    ("SearchService/SearchVideos", [{"text": "rain", "scene_scoring": "LATER_SceneScoring"}], "scene_scoring"),
    ("SearchService/SearchVideos", [{"text": "rain", "video_scoring": "LATER_VideoScoring"}], "video_scoring"),
    (
        "SearchService/SearchVideos",
        [{"text": "rain", "filter": {"condition": {"later_kind": "?"}}}],
        "filter.condition",
    ),
    ("SearchService/SearchScenes", [{"text": "rain", "scene_scoring": "LATER_SceneScoring"}], "scene_scoring"),
    ("SearchService/SearchScenes", [{"parts": [{"text": "rain"}, NEW_PART]}], "parts[1]"),
    ("SearchService/RecommendVideos", [{"liked": [NEW_PART]}], "liked[0]"),
    ("StoreService/FindScenes", [{"query": EMBEDDING, "scene_scoring": "LATER_SceneScoring"}], "scene_scoring"),
    ("StoreService/FindScenes", [{"parts": [NEW_PART]}], "parts[0]"),
    ("StoreService/FindVideos", [{"query": EMBEDDING, "scene_scoring": "LATER_SceneScoring"}], "scene_scoring"),
    ("StoreService/FindVideos", [{"query": EMBEDDING, "video_scoring": "LATER_VideoScoring"}], "video_scoring"),
    ("StoreService/PutVideo", [NEW_PART], "video"),
    ("StoreService/PutVideo", [*FILM, NEW_PART], "scene"),
    ("StoreService/PutEmbeddings", [NEW_PART], "header"),
]


@with_the_services
@pytest.mark.parametrize(("path", "requests", "field"), REFUSED)
async def test_what_cannot_be_done_yet_is_refused_with_its_field(
    system: Stack, path: str, requests: list[dict[str, Any]], field: str
) -> None:
    messages = [LATER.request(path, **request) for request in requests]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await LATER.call(address_of(system, path), path, *messages)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in rpc_status.from_call(refused.value).details)
    assert [violation.field for violation in bad.field_violations] == [field]


def choices(message: Descriptor, seen: set[Descriptor]) -> Iterator[str]:
    """Names of the fields that hold an enum, and of the oneofs, in a message and all that it may hold."""
    seen.add(message)
    for field in message.fields:
        if field.enum_type:
            yield field.full_name
        if (union := field.containing_oneof) and not union.name.startswith("_"):
            yield union.full_name
        if field.message_type and field.message_type not in seen:
            yield from choices(field.message_type, seen)


def made(message: Any) -> Iterator[str]:
    """Those in which a message says what is to come."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.enum_type and 99 in values:
            yield field.full_name
        if field.name.startswith("later_"):
            yield field.containing_oneof.full_name
        if field.message_type and not field.message_type.GetOptions().map_entry:
            for one in values:
                yield from made(one)


def test_every_choice_of_every_request_is_among_those_tried() -> None:
    tried = {name for path, requests, _ in REFUSED for one in requests for name in made(LATER.request(path, **one))}
    assert tried == {name for service in SERVICES for rpc in service.methods for name in choices(rpc.input_type, set())}


async def test_a_later_servers_answers_are_read() -> None:
    answers = {
        "IndexerService/GetIndexJob": {"job": {"job_id": "job", "state": 2, "stage": "LATER_IndexJobStage"}},
        "StoreService/ListVideos": {"videos": [{"video_id": "film", "detection": ADAPTIVE}], "next_page_token": "next"},
        "SearchService/SearchVideos": {"hits": [{"video": {"video_id": "film"}, "scenes": [{"segment": SPAN}]}]},
    }
    more = {path: [saying_more(LATER.response(path, **answer))] for path, answer in answers.items()}
    async with (
        LATER.answering(more) as (address, _),
        IndexerClient(address) as jobs,
        SearchClient(address) as search,
        StoreClient(address) as videos,
    ):
        page = await videos.videos()
        assert ([video.video_id for video in page.items], page.next_page_token) == (["film"], "next")
        assert (await jobs.job("job")).stage is JobStage.WAITING
        (hit,) = (await search.search_videos("rain", VideoRanking())).hits
        assert (hit.video.video_id, hit.scenes[0].segment.end_ns) == ("film", 2_000_000_000)


async def test_what_a_later_server_says_that_has_no_word_here_is_an_error_that_names_it() -> None:
    answers = {
        "IndexerService/GetIndexJob": {"job": {"state": "LATER_IndexJobState"}},
        "StoreService/GetVideo": {"video": {"video_id": "film", "detection": {"detector": "LATER_Detector"}}},
    }
    said = {path: [LATER.response(path, **answer)] for path, answer in answers.items()}
    async with LATER.answering(said) as (address, _), StoreClient(address) as videos, IndexerClient(address) as jobs:
        with pytest.raises(InvalidInputError, match=r"^state is 99"):
            await jobs.job("job")
        with pytest.raises(InvalidInputError, match=r"^detection\.detector is 99"):
            await videos.video("film")
