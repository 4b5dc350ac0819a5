"""The search service, with the real store and an embedder that knows words."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from services.common.clients.search import SearchClient
from services.common.conditions import MetadataPrefix, Not
from services.common.errors import InvalidInputError, OverloadedError, PreconditionError, UnavailableError
from services.common.media import SceneScoring, Segment, VideoFilter, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from tests.searches import search_with, searching
from tests.standins import WordEmbedder, embedder_at, fill, word_vector
from tests.stores import SECOND, scene, store, video
from tools.stack import Service, StackError, free_addresses
from videosearch.v1 import search_pb2, search_pb2_grpc

NOBODY = "127.0.0.1:1"


@pytest.fixture
async def client(tmp_path):
    async with searching(tmp_path) as world:
        yield world.client


@pytest.mark.parametrize(("text", "video_id"), [("a rabbit wakes", "rabbit"), ("bikes on a street", "street")])
async def test_the_video_that_is_described_is_first(client, text, video_id):
    results = await client.search_videos(text, VideoRanking())
    assert results.hits[0].video.video_id == video_id


async def test_the_scene_that_is_described_is_first_with_its_span_and_moment(client):
    results = await client.search_scenes("butterfly", SceneRanking())
    best = results.hits[0]
    assert (best.video_id, best.segment, best.best_offset_ns) == ("rabbit", Segment(2 * SECOND, 4 * SECOND), 3 * SECOND)


async def test_scenes_come_with_their_videos(client):
    results = await client.search_scenes("rain", SceneRanking(top_k=1))
    assert [found.title for found in results.videos] == ["Street"]


async def test_the_filter_is_passed_on(client):
    ranking = VideoRanking(video_filter=VideoFilter(metadata={"kind": "real"}))
    results = await client.search_videos("a rabbit wakes", ranking)
    assert [hit.video.video_id for hit in results.hits] == ["street"]


async def test_conditions_of_the_filter_are_passed_on(client):
    ranking = SceneRanking(video_filter=VideoFilter(condition=Not(MetadataPrefix("kind", "re"))))
    results = await client.search_scenes("a rabbit wakes", ranking)
    assert {hit.video_id for hit in results.hits} == {"rabbit"}


async def test_the_scoring_of_scenes_is_passed_on(tmp_path):
    scores = {}
    async with embedder_at(WordEmbedder()) as embedder, store(tmp_path) as videos:
        put = [scene(0, [word_vector("rain"), word_vector("snow")])]
        await videos.put_video(video("v", WordEmbedder().model), put)
        async with search_with(embedder, videos.address) as client:
            for scoring in SceneScoring:
                (hit,) = (await client.search_scenes("rain", SceneRanking(scene_scoring=scoring))).hits
                scores[scoring.value] = hit.score
    assert scores == pytest.approx({"best": 1.0, "mean": 0.5, "softmax": 1.0}, abs=1e-3)


async def test_the_scoring_is_passed_on(client):
    best = await client.search_videos("rain", VideoRanking())
    mean = await client.search_videos("rain", VideoRanking(video_scoring=VideoScoring.MEAN))
    assert best.hits[0].score == pytest.approx(1.0)
    assert mean.hits[0].score == pytest.approx(0.5)


async def test_counts_are_passed_on(client):
    results = await client.search_videos("rain", VideoRanking(top_k=1, scenes_per_video=0))
    assert [len(hit.scenes) for hit in results.hits] == [0]


async def test_space_around_the_text_does_not_count(client):
    assert await client.search_scenes("  rain\n", SceneRanking()) == await client.search_scenes("rain", SceneRanking())


async def test_a_text_of_10000_characters_is_searched_and_said_to_be_truncated(client):
    results = await client.search_videos("rain " * 2000, VideoRanking())
    assert results.query_truncated
    assert results.hits[0].video.video_id == "street"


async def test_a_short_text_is_not_said_to_be_truncated(client):
    assert not (await client.search_scenes("rain", SceneRanking())).query_truncated


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text is empty: describe in words"),
        (" \n\t", "text is empty: describe in words"),
        ("x" * 10_001, "text has 10001 characters: shorten it to 10000"),
    ],
)
async def test_a_bad_text_is_refused_and_the_message_says_what_to_do(client, text, message):
    with pytest.raises(InvalidInputError, match=message):
        await client.search_videos(text, VideoRanking())
    with pytest.raises(InvalidInputError, match=message):
        await client.search_scenes(text, SceneRanking())


@pytest.mark.parametrize("top_k", [0, -1, 10**9])
async def test_a_top_k_out_of_range_is_refused(client, top_k):
    with pytest.raises(InvalidInputError, match="top_k"):
        await client.search_videos("rain", VideoRanking(top_k=top_k))
    with pytest.raises(InvalidInputError, match="top_k"):
        await client.search_scenes("rain", SceneRanking(top_k=top_k))


async def test_an_empty_store_finds_nothing(tmp_path):
    async with (
        embedder_at(WordEmbedder()) as embedder,
        store(tmp_path) as videos,
        search_with(embedder, videos.address) as client,
    ):
        assert (await client.search_videos("rain", VideoRanking())).hits == ()


async def test_an_embedder_that_is_away_is_named_with_its_address(tmp_path):
    async with store(tmp_path) as videos, search_with(NOBODY, videos.address) as client:
        with pytest.raises(UnavailableError, match=f"EmbedderService at {NOBODY}"):
            await client.search_videos("rain", VideoRanking())


async def test_a_store_that_is_away_is_named_with_its_address():
    async with embedder_at(WordEmbedder()) as embedder, search_with(embedder, NOBODY) as client:
        with pytest.raises(UnavailableError, match=f"StoreService at {NOBODY}"):
            await client.search_scenes("rain", SceneRanking())


async def test_another_model_than_the_stores_is_a_matter_to_be_put_right_first(tmp_path):
    async with embedder_at(WordEmbedder("words-2")) as embedder, store(tmp_path) as videos:
        await fill(videos)
        async with search_with(embedder, videos.address) as client:
            with pytest.raises(PreconditionError, match="words-2"):
                await client.search_videos("rain", VideoRanking())


async def test_an_overloaded_embedder_is_passed_on_as_such(tmp_path):
    embedder = WordEmbedder()
    embedder.refusals = [OverloadedError("64 texts are waiting")]
    async with (
        embedder_at(embedder) as address,
        store(tmp_path) as videos,
        search_with(address, videos.address) as client,
    ):
        with pytest.raises(OverloadedError, match="64 texts are waiting"):
            await client.search_videos("rain", VideoRanking())


@pytest.mark.parametrize("scoring", [{"video_scoring": 9}, {"scene_scoring": 0}])
async def test_an_unknown_scoring_is_refused(client, scoring):
    async with grpc.aio.insecure_channel(client.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="must be one of") as failure:
            await search_pb2_grpc.SearchServiceStub(channel).SearchVideos(
                search_pb2.SearchVideosRequest(text="rain", **scoring)
            )
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@asynccontextmanager
async def process(embedder: str, store: str, **variables: str):
    """The service as it is started in earnest, with the lines that it prints."""
    address, lines = free_addresses()["search"], asyncio.Queue()
    addresses = {"VIDEOSEARCH_EMBEDDER_ADDRESS": embedder, "VIDEOSEARCH_STORE_ADDRESS": store}
    environment = {"VIDEOSEARCH_SEARCH_LISTEN": address, **addresses, **variables}
    running = Service("search", address, environment, log=lambda name, line: lines.put_nowait(line))
    await running.start()
    try:
        yield running, lines
    finally:
        await running.stop()


async def test_the_process_serves_while_its_peers_do_and_ends_well_at_sigterm(tmp_path):
    async with embedder_at(WordEmbedder()) as embedder, store(tmp_path) as videos:
        async with process(embedder, videos.address) as (running, _):
            await running.ready()
        assert running.process.returncode == 0


async def test_the_process_is_not_serving_while_a_peer_is_away_and_says_which():
    async with process(NOBODY, NOBODY) as (running, lines), SearchClient(running.address) as client:
        while "waiting for a peer" not in (line := await lines.get()):
            pass
        assert f"EmbedderService at {NOBODY}" in line
        assert not await client.serving()


async def test_the_process_ends_with_one_line_when_a_setting_is_wrong():
    async with process(NOBODY, NOBODY, VIDEOSEARCH_GRACE_S="soon") as (running, _):
        with pytest.raises(StackError) as failure:
            await running.ready()
    assert str(failure.value) == (
        "search stopped with exit status 1: cannot start: setting VIDEOSEARCH_GRACE_S='soon': "
        "Input should be a valid number, unable to parse string as a number"
    )
