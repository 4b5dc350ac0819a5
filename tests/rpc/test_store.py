import asyncio
import time
from dataclasses import replace

import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.common import convert
from services.common.clients.store import StoreClient
from services.common.errors import (
    DataLossError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from services.common.media import Detection, Detector, SceneScoring, StoreStats, VideoFilter, VideoScoring
from services.common.ranking import SceneRanking, VideoRanking
from services.store.servicer import StoreServicer
from tests.servers import serving
from tests.stores import MODEL, SECOND, counts, files_no_larger_than, query_of, scene, scenes, video
from videosearch.v1 import media_pb2, store_pb2, store_pb2_grpc

X, Y, Z = np.float32(np.eye(3))
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def messages(its_scenes, model=MODEL):
    return [store_pb2.PutVideoRequest(scene=convert.scene_to(one, model)) for one in its_scenes]


HEADER = store_pb2.PutVideoRequest(video=convert.video_to(video()))
SCENES = messages(scenes(2))
SCENE = scene(0, [X])


async def test_a_video_comes_back_as_it_was_put(client):
    put = video(metadata={"kind": "film"}, duration_ns=5, detection=Detection(Detector.CONTENT, 27.0, 1))
    stored = await client.put_video(put, scenes(2))
    assert await client.video("v") == stored
    assert replace(stored, index_time=None) == replace(put, scene_count=2)
    assert stored.index_time is not None


async def test_the_response_says_whether_a_video_was_replaced(stub):
    responses = [await stub.PutVideo(iter([HEADER, *SCENES])) for _ in range(2)]
    assert [response.replaced for response in responses] == [False, True]


async def test_what_a_client_says_of_index_time_and_scene_count_is_ignored(stub):
    header = store_pb2.PutVideoRequest(video=convert.video_to(video(scene_count=77)))
    header.video.index_time.nanos = -5
    response = await stub.PutVideo(iter([header, *SCENES]))
    assert response.video.scene_count == 2
    assert response.video.index_time.seconds > 0


async def test_scenes_come_back_page_by_page_without_embeddings(client):
    put = scenes(5)
    await client.put_video(video(), put)
    listed, token = [], ""
    while not listed or token:
        page = await client.scenes("v", 2, token)
        listed, token = [*listed, *page.items], page.next_page_token
    bare = [replace(one, samples=tuple((sample.offset_ns, 0) for sample in one.samples)) for one in put]
    assert [replace(one, samples=tuple((s.offset_ns, s.vector.size) for s in one.samples)) for one in listed] == bare


async def test_a_large_page_of_scenes_is_made_while_other_calls_go_on(client, stub):
    await client.put_video(video(), scenes(1000, 64))
    call = asyncio.ensure_future(stub.ListScenes(store_pb2.ListScenesRequest(video_id="v", page_size=1000)))
    turns = [time.monotonic()]
    while not call.done():
        await asyncio.sleep(0.001)
        turns.append(time.monotonic())
    assert np.diff(turns).max() < (turns[-1] - turns[0]) / 3


async def test_videos_come_back_page_by_page_in_the_order_of_their_ids(client):
    for name in "cbad":
        await client.put_video(video(name), scenes(1))
    first = await client.videos(3)
    second = await client.videos(3, first.next_page_token)
    assert [one.video_id for one in (*first.items, *second.items)] == ["a", "b", "c", "d"]
    assert second.next_page_token == ""


async def test_a_page_of_videos_with_much_metadata_ends_early_and_the_next_goes_on(client, monkeypatch):
    monkeypatch.setattr("services.store.convert.MAX_PAGE_BYTES", 50_000)
    much = {f"{n}": 1000 * "\N{GRINNING FACE}" for n in range(4)}  # 16 kB
    for name in "abcdef":
        await client.put_video(video(name, metadata=much), scenes(1))
    first = await client.videos()
    second = await client.videos(page_token=first.next_page_token)
    assert [[one.video_id for one in page.items] for page in (first, second)] == [["a", "b", "c"], ["d", "e", "f"]]
    assert (first.next_page_token, second.next_page_token) == ("c", "")


async def test_a_page_has_a_video_however_large_it_is(client, monkeypatch):
    monkeypatch.setattr("services.store.convert.MAX_PAGE_BYTES", 1)
    await client.put_video(video("a"), scenes(1))
    await client.put_video(video("b"), scenes(1))
    page = await client.videos()
    assert ([one.video_id for one in page.items], page.next_page_token) == (["a"], "a")


async def test_the_nearest_scene_is_found_with_its_best_moment(client):
    await client.put_video(video("a"), [scene(0, [X, Y]), scene(1, [Y, Z])])
    found = await client.find_scenes(query_of(Z), SceneRanking(top_k=1))
    (hit,) = found.hits
    assert (hit.video_id, hit.ordinal, hit.score, hit.best_offset_ns) == ("a", 1, 1.0, 3 * SECOND + SECOND // 100)
    assert [one.video_id for one in found.videos] == ["a"]


async def test_the_mean_may_rank_otherwise_than_the_best(client):
    await client.put_video(video("peak"), [scene(0, [X, Y]), scene(1, [Y])])
    await client.put_video(video("even"), [scene(0, [np.float32([0.8, 0.6, 0])])])
    best = await client.find_videos(query_of(X), VideoRanking())
    mean = await client.find_videos(
        query_of(X), VideoRanking(scene_scoring=SceneScoring.MEAN, video_scoring=VideoScoring.MEAN)
    )
    assert [hit.video.video_id for hit in best.hits] == ["peak", "even"]
    assert [hit.video.video_id for hit in mean.hits] == ["even", "peak"]


async def test_each_video_brings_its_best_scenes_up_to_the_number_asked_for(client):
    await client.put_video(video("a"), [scene(0, [Z]), scene(1, [X]), scene(2, [np.float32([0.6, 0.8, 0])])])
    (hit,) = (await client.find_videos(query_of(X), VideoRanking(scenes_per_video=2))).hits
    assert [one.ordinal for one in hit.scenes] == [1, 2]
    (hit,) = (await client.find_videos(query_of(X), VideoRanking(scenes_per_video=0))).hits
    assert hit.scenes == ()


async def test_filters_are_joined_by_and(client):
    for name, kind in (("a", "film"), ("b", "film"), ("c", "news")):
        await client.put_video(video(name, metadata={"kind": kind}), [scene(0, [X])])
    wanted = VideoFilter(frozenset({"b", "c", "unknown"}), {"kind": "film"})
    found = await client.find_scenes(query_of(X), SceneRanking(video_filter=wanted))
    assert [hit.video_id for hit in found.hits] == ["b"]


async def test_a_deleted_video_is_gone_at_once(client):
    await client.put_video(video(), scenes(1))
    await client.delete_video("v")
    assert (await client.stats()).video_count == 0
    for call in (client.video("v"), client.scenes("v"), client.delete_video("v")):
        with pytest.raises(NotFoundError, match="no video 'v'"):
            await call


async def test_only_the_named_fields_of_a_video_change(client):
    stored = await client.put_video(video(metadata={"year": "2025"}), scenes(2))
    other = replace(stored, uri="/elsewhere.mp4", title="Another", metadata={"kind": "cartoon"}, codec="none")
    changed = await client.update_video(other, ["uri", "metadata"])
    assert changed == replace(stored, uri="/elsewhere.mp4", metadata={"kind": "cartoon"})
    assert await client.video("v") == changed


async def test_a_video_that_is_not_there_cannot_be_changed(client):
    with pytest.raises(NotFoundError, match="no video 'v'"):
        await client.update_video(video(), ["title"])


async def test_a_change_that_cannot_be_written_is_data_loss(client):
    await client.put_video(video(), scenes(1))
    with files_no_larger_than(1000), pytest.raises(DataLossError, match="not changed"):
        await client.update_video(video(metadata={"key": "v" * 4000}), ["metadata"])
    assert not (await client.video("v")).metadata


async def test_stats_count_what_is_stored(client):
    await client.put_video(video("a"), scenes(2, sample_count=3))
    await client.put_video(video("b"), scenes(1, sample_count=4))
    stats = await client.stats()
    assert counts(stats) == StoreStats(2, 3, 10, MODEL, 8, 0, approximate_sample_count=0, read_only_reason="")
    assert stats.vectors_size_bytes == 10 * (8 * 2 + 4)
    assert min(stats.disk_size_bytes, stats.disk_free_bytes) > 0


async def test_an_empty_store_finds_nothing(client):
    assert (await client.find_scenes(query_of(X, "any"), SceneRanking())).hits == ()
    assert (await client.find_videos(query_of(X, "any"), VideoRanking())).hits == ()
    assert counts(await client.stats()) == StoreStats(0, 0, 0, "", 0, 0, 0, "")


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        ([], "first message"),
        ([SCENES[0]], "first message"),
        ([store_pb2.PutVideoRequest()], "first message"),
        ([HEADER], "no scenes"),
        ([HEADER, HEADER], "scene must be set in each message"),
        ([HEADER, SCENES[0], store_pb2.PutVideoRequest()], "scene must be set in each message"),
        ([HEADER, SCENES[1]], "ordinals run from 0"),
        ([HEADER, *messages([SCENE, replace(SCENE, ordinal=1)])], "never overlap"),
        ([HEADER, *messages(scenes(1), "model-b")], "samples[0].embedding.model is 'model-b', where 'model-a' is due"),
        ([HEADER, *messages([scene(0, np.float32([[2, 0]]))])], "normalize it"),
        ([HEADER, store_pb2.PutVideoRequest(scene=media_pb2.Scene())], "must end after it starts"),
        ([store_pb2.PutVideoRequest(video=media_pb2.Video(video_id="a/b"))], "video_id 'a/b'"),
    ],
)
async def test_a_stream_that_makes_no_video_is_refused(stub, stream, complaint):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.PutVideo(iter(stream))
    assert failure.value.code() is INVALID
    assert complaint in failure.value.details()


LIMITS = [("title", 1000), ("uri", 4096), ("codec", 64), ("content_sha256", 64), ("model", 128)]


@pytest.mark.parametrize(("field", "longest"), LIMITS)
async def test_a_text_of_a_video_that_is_too_long_is_refused(client, field, longest):
    too_long = replace(video(), **{field: (longest + 1) * "x"})
    with pytest.raises(InvalidInputError, match=f"{field} has {longest + 1} characters; at most {longest} are taken"):
        await client.put_video(too_long, scenes(1))
    assert (await client.stats()).video_count == 0


@pytest.mark.parametrize(("field", "longest"), LIMITS)
async def test_a_text_of_a_video_may_have_the_longest_length(client, field, longest):
    longest_text = longest * "\N{GRINNING FACE}"
    stored = await client.put_video(replace(video(), **{field: longest_text}), scenes(1))
    assert getattr(stored, field) == longest_text


async def test_too_many_scenes_are_refused_and_nothing_is_written(client, monkeypatch):
    monkeypatch.setattr("services.store.draft.MAX_SCENES", 2)
    with pytest.raises(InvalidInputError, match="more than 2 scenes"):
        await client.put_video(video(), scenes(3))
    assert (await client.stats()).video_count == 0


async def test_another_model_is_refused(client):
    await client.put_video(video("a"), scenes(1))
    with pytest.raises(PreconditionError, match=r"model-a.*model-b"):
        await client.put_video(video("b", model="model-b"), scenes(1))
    with pytest.raises(PreconditionError, match=r"model-a.*model-b"):
        await client.find_videos(query_of(X, "model-b"), VideoRanking())


async def test_a_query_of_the_wrong_length_is_refused(client):
    await client.put_video(video("a"), scenes(1))
    with pytest.raises(InvalidInputError, match="has 8 components; got 3"):
        await client.find_scenes(query_of(X), SceneRanking())


QUERY = convert.embedding_to(X, MODEL)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("FindScenes", store_pb2.FindScenesRequest()),
        ("FindVideos", store_pb2.FindVideosRequest(query=media_pb2.Embedding(vector=QUERY.vector))),
        ("FindScenes", store_pb2.FindScenesRequest(query=media_pb2.Embedding(model=MODEL, vector=b"123"))),
        ("FindScenes", store_pb2.FindScenesRequest(query=QUERY, top_k=0)),
        ("FindVideos", store_pb2.FindVideosRequest(query=QUERY, top_k=-1)),
        ("FindScenes", store_pb2.FindScenesRequest(query=QUERY, top_k=10**9)),
        ("FindScenes", store_pb2.FindScenesRequest(query=QUERY, scenes_per_video=0)),
        ("FindVideos", store_pb2.FindVideosRequest(query=QUERY, scenes_per_video=101)),
        ("FindScenes", store_pb2.FindScenesRequest(query=QUERY, scene_scoring=0)),
        ("FindVideos", store_pb2.FindVideosRequest(query=QUERY, video_scoring=9)),
        ("ListVideos", store_pb2.ListVideosRequest(page_size=-1)),
        ("ListVideos", store_pb2.ListVideosRequest(page_token="no token")),
        ("ListVideos", store_pb2.ListVideosRequest(page_token="v" * 129)),
        ("ListScenes", store_pb2.ListScenesRequest(video_id="v", page_token="-1")),
        ("ListScenes", store_pb2.ListScenesRequest(video_id="v", page_size=-1)),
        ("GetVideo", store_pb2.GetVideoRequest()),
        ("DeleteVideo", store_pb2.DeleteVideoRequest(video_id="a b")),
        ("UpdateVideo", store_pb2.UpdateVideoRequest(video=HEADER.video)),
        ("UpdateVideo", store_pb2.UpdateVideoRequest(video=HEADER.video, update_mask=FieldMask(paths=["codec"]))),
        ("UpdateVideo", store_pb2.UpdateVideoRequest(update_mask=FieldMask(paths=["title"]))),
    ],
)
async def test_a_request_that_is_wrong_as_written_is_refused(stub, method, request_):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await getattr(stub, method)(request_)
    assert failure.value.code() is INVALID


async def test_a_page_token_past_the_last_scene_gives_an_empty_page(client, stub):
    await client.put_video(video(), scenes(1))
    response = await stub.ListScenes(store_pb2.ListScenesRequest(video_id="v", page_token="1"))
    assert (len(response.scenes), response.next_page_token) == (0, "")


async def test_a_cancelled_stream_writes_nothing(client, stub):
    for turn in range(50):
        put = stub.PutVideo()
        for message in [HEADER, *SCENES]:
            await put.write(message)
        if turn % 2:
            await asyncio.sleep(0)
        put.cancel()
    assert (await client.stats()).video_count == 0


async def test_a_broken_connection_writes_nothing(client):
    for _ in range(20):
        async with grpc.aio.insecure_channel(client.address) as channel:
            put = store_pb2_grpc.StoreServiceStub(channel).PutVideo()
            for message in [HEADER, *SCENES]:
                await put.write(message)
    assert (await client.stats()).video_count == 0


async def test_a_database_that_cannot_be_written_is_data_loss_and_the_service_goes_on(client):
    await client.put_video(video("a"), scenes(1))
    with files_no_larger_than(1000), pytest.raises(DataLossError, match="not stored"):
        await client.put_video(video("b"), scenes(100))
    await client.put_video(video("c"), scenes(1))
    assert [one.video_id for one in (await client.videos()).items] == ["a", "c"]


async def test_a_deletion_that_cannot_be_written_is_data_loss(client):
    await client.put_video(video(), scenes(100))
    with files_no_larger_than(1000), pytest.raises(DataLossError, match="not deleted"):
        await client.delete_video("v")
    assert (await client.video("v")).scene_count == 100


async def test_before_the_vectors_are_loaded_the_answer_is_to_try_again():
    def add(server):
        store_pb2_grpc.add_StoreServiceServicer_to_server(StoreServicer(), server)

    async with serving(StoreClient.service, add) as address, StoreClient(address) as client:
        with pytest.raises(UnavailableError, match="try again"):
            await client.video("v")


async def test_searches_during_puts_see_only_whole_videos(client):
    versions = [scenes(3, seed=1), scenes(50, seed=2)]
    await client.put_video(video(), versions[0])
    putting = asyncio.ensure_future(alternate(client, versions))
    sizes = set()
    while not putting.done():
        found = await client.find_scenes(query_of(versions[0][0].samples[0].vector), SceneRanking(top_k=1000))
        sizes.add((len(found.hits), found.videos[0].scene_count))
    await putting
    assert sizes <= {(3, 3), (50, 50)}


async def alternate(client, versions):
    for turn in range(30):
        await client.put_video(video(), versions[turn % 2])
