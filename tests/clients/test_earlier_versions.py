"""Callers and servers of the first version, whose messages have less than ours, as `tests/data` keeps them."""

from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from services.common.clients.embedder import EmbedderClient
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.jobs import JobStage, JobState
from services.common.media import Detection, VideoFilter
from services.common.ranking import SceneRanking, VideoRanking
from tests.clients.buf import BUF, SERVICES, run
from tests.clients.versions import FIRST, earlier
from tests.stores import query_of, scenes, video
from tools.samples import FOLDER
from tools.stack import Stack

EARLIER = earlier()

CITY = {"metadata": {"place": "city"}}
SPAN = {"start_offset": "1s", "end_offset": "2s"}

with_the_services = pytest.mark.asyncio(loop_scope="session")


async def called(system: Stack, path: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    address = system.addresses[path.partition("Service")[0].lower()]
    answers = await EARLIER.call(address, path, *(EARLIER.request(path, **request) for request in requests))
    return [MessageToDict(answer) for answer in answers]


async def test_the_present_protos_break_nothing_of_the_first_ones() -> None:
    told = await run(BUF, "breaking", "protos", "--against", FIRST)
    assert (told.status, told.output + told.complaint) == (0, "")


def test_the_first_version_has_less_than_the_present_one() -> None:
    now = {f"{service.name}/{rpc.name}": rpc for service in SERVICES for rpc in service.methods}
    asked = EARLIER.rpc("SearchService/SearchVideos").input_type.fields_by_name.keys()
    assert asked < now["SearchService/SearchVideos"].input_type.fields_by_name.keys()


@with_the_services
async def test_an_earlier_caller_indexes_and_searches(system: Stack) -> None:
    wanted = {"uri": str(FOLDER / "bikes.mp4"), "video_id": "bikes", **CITY, "detection": {"detector": 1}}
    (queued,) = await called(system, "IndexerService/IndexVideo", wanted)
    *_, ended = await called(system, "IndexerService/WatchIndexJob", {"job_id": queued["job"]["jobId"]})
    assert (ended["job"]["state"], ended["job"]["sceneCount"]) == ("INDEX_JOB_STATE_SUCCEEDED", 6)

    text = "people riding bicycles in the city"
    (videos,) = await called(system, "SearchService/SearchVideos", {"text": text, "video_scoring": 2, "filter": CITY})
    assert [(hit["video"]["videoId"], len(hit["scenes"])) for hit in videos["hits"]] == [("bikes", 3)]
    (found,) = await called(system, "SearchService/SearchScenes", {"text": text, "top_k": 1})
    ((best,), (its_video,)) = found["hits"], found["videos"]
    assert (best["ordinal"], its_video["metadata"]) == (3, {"place": "city"})

    (embedded,) = await called(system, "EmbedderService/EmbedTexts", {"texts": [text]})
    query = {"query": embedded["embeddings"][0]["embedding"], "top_k": 1}
    (same,) = await called(system, "StoreService/FindScenes", query)
    assert same["hits"][0]["segment"] == best["segment"]


@with_the_services
async def test_an_earlier_indexer_puts_what_an_earlier_store_takes(system: Stack) -> None:
    image = {"raw": {"width": 1, "height": 1, "rgb": "/wAA"}}
    (embedded,) = await called(system, "EmbedderService/EmbedImages", {"images": [image]})
    (embedding,) = embedded["embeddings"]
    scene = {"segment": SPAN, "samples": [{"offset": "1.5s", "embedding": embedding}]}
    of_film = {"video_id": "film", "uri": "film.mp4", "model": embedding["model"]}
    (put,) = await called(system, "StoreService/PutVideo", {"video": of_film}, {"scene": scene})
    assert put["video"]["sceneCount"] == 1
    (found,) = await called(system, "StoreService/FindVideos", {"query": embedding, "top_k": 1})
    assert found["hits"][0]["video"]["videoId"] == "film"
    assert await called(system, "StoreService/DeleteVideo", {"video_id": "film"}) == [{}]


QUEUED = {"job_id": "job", "uri": "v.mp4", "state": "INDEX_JOB_STATE_QUEUED", "create_time": "2026-11-22T16:00:00Z"}
DONE = {**QUEUED, "state": "INDEX_JOB_STATE_SUCCEEDED", "video_id": "film", "end_time": "2026-11-22T16:00:09Z"}
FILM = {"video_id": "film", "uri": "v.mp4", "model": "m", "frame_rate": {"numerator": 25, "denominator": 1}, **CITY}
HIT = {"video_id": "film", "ordinal": 1, "segment": SPAN, "score": 0.5, "best_offset": "1.5s"}
EMBEDDING = {"model": "m", "vector": "AACAPwAAAAA="}
ANSWERS = {
    "EmbedderService/EmbedTexts": [{"embeddings": [{"embedding": EMBEDDING, "truncated": True}]}],
    "EmbedderService/GetModel": [{"model": {"name": "lite", "fingerprint": "m", "dimension": 2}}],
    "IndexerService/IndexVideo": [{"job": QUEUED}],
    "IndexerService/WatchIndexJob": [{"job": {**QUEUED, "state": 2, "stage": 2, "progress_percent": 9}}, {"job": DONE}],
    "SearchService/SearchScenes": [{"hits": [HIT], "videos": [FILM], "query_truncated": True}],
    "SearchService/SearchVideos": [{"hits": [{"video": FILM, "score": 0.5, "scenes": [HIT]}]}],
    "StoreService/FindScenes": [{"hits": [HIT]}],
    "StoreService/GetStats": [{"video_count": 3, "model": "m"}],
    "StoreService/ListScenes": [{"scenes": [{"ordinal": 1, "segment": SPAN, "samples": [{"offset": "1.5s"}]}]}],
    "StoreService/ListVideos": [{"videos": [FILM], "next_page_token": "film"}],
    "StoreService/PutVideo": [{"video": FILM}],
}


@pytest.fixture
async def old():
    """The address of an earlier server of all services, and what it is asked, as it reads that."""
    answers = {path: [EARLIER.response(path, **one) for one in each] for path, each in ANSWERS.items()}
    async with EARLIER.answering(answers) as server:
        yield server


async def test_our_callers_are_understood_by_an_earlier_indexer(old) -> None:
    address, asked = old
    async with IndexerClient(address) as jobs:
        queued = await jobs.index_video("v.mp4", metadata=CITY["metadata"], detection=Detection(), force=True)
        states = [(job.state, job.stage) async for job in jobs.watch_job(queued.job_id)]
    request = asked["IndexerService/IndexVideo"]
    assert (request.uri, dict(request.metadata), request.detection.detector) == ("v.mp4", {"place": "city"}, 1)
    assert (queued.state, queued.stage) == (JobState.QUEUED, JobStage.WAITING)
    assert states == [(JobState.RUNNING, JobStage.INDEXING), (JobState.SUCCEEDED, JobStage.WAITING)]


async def test_our_callers_are_understood_by_an_earlier_search(old) -> None:
    address, asked = old
    async with SearchClient(address) as search:
        ranked = {"top_k": 4, "video_filter": VideoFilter(metadata=CITY["metadata"])}
        by_video = await search.search_videos("rain", VideoRanking(**ranked))
        by_scene = await search.search_scenes("rain", SceneRanking(**ranked))
    for request in (asked["SearchService/SearchVideos"], asked["SearchService/SearchScenes"]):
        assert (request.text, request.top_k, dict(request.filter.metadata)) == ("rain", 4, {"place": "city"})
    assert by_scene.query_truncated
    assert by_scene.hits == by_video.hits[0].scenes
    assert by_video.hits[0].video.metadata == CITY["metadata"]


async def test_our_callers_are_understood_by_an_earlier_store_and_embedder(old) -> None:
    address, asked = old
    async with StoreClient(address) as store, EmbedderClient(address) as embedder:
        put = await store.put_video(video("film", "m"), scenes(2))
        page = await store.videos(page_size=1)
        (scene,) = (await store.scenes("film")).items
        stats = await store.stats()
        (embedding,) = await embedder.embed_texts(["rain"])
        model = await embedder.model()
        await store.find_scenes(query_of(embedding.vector, "m"), SceneRanking())
    last = asked["StoreService/PutVideo"].scene
    assert (last.ordinal, len(last.samples), len(last.samples[0].embedding.vector)) == (1, 3, 4 * 8)
    assert (page.items, page.next_page_token) == ((put,), "film")
    assert (scene.ordinal, scene.samples[0].offset_ns) == (1, 1_500_000_000)
    assert (stats.video_count, stats.vectors_size_bytes) == (3, 0)
    np.testing.assert_equal(embedding.vector, [1, 0])
    assert (model.fingerprint, model.dimension, embedding.truncated) == ("m", 2, True)
    assert not asked["StoreService/FindScenes"].HasField("query")  # it sees no parts: a store is upgraded first
