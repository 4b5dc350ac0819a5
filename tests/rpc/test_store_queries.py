"""What can be asked of a store: queries of several parts, filters, scorings, windows, cursors and timelines."""

import asyncio
import math
import os
import threading
from dataclasses import replace

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from services.common import convert, vectors
from services.common.conditions import (
    AllOf,
    AnyOf,
    DurationRange,
    MetadataIn,
    MetadataPrefix,
    MetadataRange,
    Not,
    TimeRange,
    VideoIds,
)
from services.common.errors import InvalidInputError, NotFoundError, PreconditionError
from services.common.media import SceneScoring, Segment, VideoFilter
from services.common.ranking import EmbeddingPart, MomentPart, ScenePart, SceneRanking, VideoPart, VideoRanking
from services.store.catalog import Catalog
from tests.stores import MODEL, SECOND, query_of, scene, scenes, store, video
from videosearch.v1 import media_pb2, store_pb2, store_pb2_grpc

X, Y, Z = np.float32(np.eye(3))
ALL = SceneRanking(top_k=1000)
EMBEDDING = convert.embedding_to(X, MODEL)


async def fill(client):
    await client.put_video(video("x", metadata={"kind": "film", "year": "1999"}, decoded_ns=SECOND), [scene(0, [X])])
    await client.put_video(video("y", metadata={"kind": "news", "year": "2024.5"}), [scene(0, [Y]), scene(1, [X])])
    await client.put_video(video("z", metadata={"kind": "fiction"}, decoded_ns=9 * SECOND), [scene(0, [Z])])


def scores(found):
    return {(hit.video_id, hit.ordinal): hit.score for hit in found.hits}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ((EmbeddingPart(Y, MODEL),), [0, 1, 0, 0]),
        ((EmbeddingPart(Y, MODEL, 7.0),), [0, 1, 0, 0]),
        ((EmbeddingPart(Y, MODEL, -7.0),), [0, -1, 0, 0]),
        ((EmbeddingPart(X, MODEL, 3.0), EmbeddingPart(Z, MODEL, -1.0)), [0.75, 0, 0.75, -0.25]),
        ((ScenePart("y", 0),), [0, 1, 0, 0]),
        ((MomentPart("y", 3 * SECOND),), [1, 0, 1, 0]),
        ((VideoPart("y"),), [0.5**0.5, 0.5**0.5, 0.5**0.5, 0]),
        ((ScenePart("z", 0, 1.0), VideoPart("x", 2.0), EmbeddingPart(Y, MODEL, -1.0)), [0.5, -0.25, 0.5, 0.25]),
    ],
)
async def test_a_score_is_the_weighted_mean_of_the_cosines_to_the_parts(client, query, expected):
    await fill(client)
    order = [("x", 0), ("y", 0), ("y", 1), ("z", 0)]
    found = await client.find_scenes(query, replace(ALL, include_named=True))
    assert scores(found) == pytest.approx(dict(zip(order, expected, strict=True)), abs=1e-3)
    assert [hit.score for hit in found.hits] == sorted(scores(found).values(), reverse=True)


async def test_the_query_of_one_embedding_is_as_good_as_a_part(client, stub):
    await fill(client)
    response = await stub.FindScenes(store_pb2.FindScenesRequest(query=EMBEDDING))
    assert convert.ranked_scenes_from(response) == await client.find_scenes(query_of(X), SceneRanking())
    response = await stub.FindVideos(store_pb2.FindVideosRequest(query=EMBEDDING))
    assert convert.ranked_videos_from(response) == await client.find_videos(query_of(X), VideoRanking())


def kind_in(*kinds):
    return MetadataIn("kind", frozenset(kinds))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (kind_in("film", "news"), "xy"),
        (MetadataPrefix("kind", "fi"), "xz"),
        (MetadataRange("year", 1999.0, 2024.5), "x"),
        (MetadataRange("year", None, None), "xy"),
        (DurationRange(SECOND, 9 * SECOND), "x"),
        (VideoIds(frozenset({"z", "unknown"})), "z"),
        (Not(kind_in("film")), "yz"),
        (AllOf((MetadataPrefix("kind", ""), MetadataRange("year", 2000.0, None))), "y"),
        (AnyOf((kind_in("fiction"), Not(MetadataRange("year", 2000.0, None)))), "xz"),
    ],
)
async def test_only_videos_that_meet_the_condition_are_searched(client, condition, expected):
    await fill(client)
    ranking = SceneRanking(video_filter=VideoFilter(condition=condition))
    found = await client.find_scenes(query_of(X), ranking)
    assert "".join(sorted({hit.video_id for hit in found.hits})) == expected
    by_video = await client.find_videos(query_of(X), VideoRanking(video_filter=VideoFilter(condition=condition)))
    assert "".join(sorted(hit.video.video_id for hit in by_video.hits)) == expected


async def test_videos_can_be_chosen_by_when_they_were_stored(client):
    await fill(client)
    middle = (await client.video("y")).index_time
    for span, expected in ((TimeRange(None, middle), {"x"}), (TimeRange(middle, None), {"y", "z"})):
        ranking = replace(ALL, video_filter=VideoFilter(condition=span))
        assert {hit.video_id for hit in (await client.find_scenes(query_of(X), ranking)).hits} == expected


async def test_all_of_a_filter_is_joined_by_and(client):
    await fill(client)
    wanted = VideoFilter(frozenset("xy"), {"kind": "news"}, MetadataRange("year", 2000.0, None))
    assert {
        one.video_id for one in (await client.find_scenes(query_of(X), SceneRanking(video_filter=wanted))).videos
    } == {"y"}
    none = replace(wanted, condition=MetadataRange("year", None, 2000.0))
    assert (await client.find_scenes(query_of(X), SceneRanking(video_filter=none))).hits == ()


async def test_a_scene_scores_its_best_sample_or_their_mean_or_one_between(client):
    await client.put_video(video(), [scene(0, [X, Y])])
    found = {}
    for name, temperature in (("best", None), ("mean", None), ("softmax", 1.0), ("softmax", 1e-3), ("softmax", 1e3)):
        ranking = replace(ALL, scene_scoring=SceneScoring(name))
        ranking = replace(ranking, softmax_temperature=temperature) if temperature else ranking
        (hit,) = (await client.find_scenes(query_of(X), ranking)).hits
        found[name, temperature] = hit.score
    between = np.e / (1 + np.e)
    expected = {("best", None): 1, ("mean", None): 0.5, ("softmax", 1.0): between}
    assert found == pytest.approx(expected | {("softmax", 1e-3): 1, ("softmax", 1e3): 0.5}, abs=1e-3)


@pytest.mark.parametrize(
    ("window", "ordinals"),
    [
        (Segment(0, 1), [0]),
        (Segment(2 * SECOND - 1, 2 * SECOND + 1), [0, 1]),
        (Segment(2 * SECOND, 4 * SECOND), [1]),
        (Segment(4 * SECOND, 10**18), [2]),
        (Segment(6 * SECOND, 7 * SECOND), []),
    ],
)
async def test_only_scenes_that_overlap_the_window_are_scored(client, window, ordinals):
    await client.put_video(video(), scenes(3))
    (part,) = query_of(scenes(1)[0].samples[0].vector)
    found = await client.find_scenes((part,), replace(ALL, time_window=window))
    assert sorted(hit.ordinal for hit in found.hits) == ordinals
    videos = await client.find_videos((part,), VideoRanking(scenes_per_video=100, time_window=window))
    assert sorted(one.ordinal for hit in videos.hits for one in hit.scenes) == ordinals


async def test_a_timeline_has_the_score_of_each_sample_in_order_of_time(client):
    put = scenes(40, sample_count=3, dimension=32, seed=3)
    await client.put_video(video(), put)
    first, second = vectors.normalize(np.random.default_rng(4).standard_normal((2, 32)))
    points = await client.timeline("v", (EmbeddingPart(first, MODEL, 1.0), EmbeddingPart(second, MODEL, -0.5)))
    samples = [sample for one in put for sample in one.samples]
    matrix = vectors.normalize(np.float16([sample.vector for sample in samples]))  # (N, D), as it is at rest
    assert [(point.offset_ns, point.ordinal) for point in points] == [
        (s.offset_ns, n // 3) for n, s in enumerate(samples)
    ]
    assert [point.score for point in points] == pytest.approx(matrix @ (first - 0.5 * second) / 1.5, abs=1e-5)


async def test_what_a_query_names_must_exist(client):
    await fill(client)
    with pytest.raises(NotFoundError, match="no video 'unknown'"):
        await client.timeline("unknown", query_of(X))
    for ask in (client.find_scenes((VideoPart("unknown"),), ALL), client.timeline("x", (VideoPart("unknown"),))):
        with pytest.raises(NotFoundError, match="no video 'unknown'"):
            await ask
    with pytest.raises(NotFoundError, match=r"parts\[1\]: no video 'unknown'"):
        await client.find_scenes((VideoPart("x"), MomentPart("unknown", 0)), ALL)
    with pytest.raises(NotFoundError, match=r"parts\[1\]: video 'y' has 2 scenes, and no scene 2"):
        await client.find_videos((VideoPart("x"), ScenePart("y", 2)), VideoRanking())


async def test_each_embedding_of_a_query_must_be_of_the_stores_model(client):
    await fill(client)
    with pytest.raises(PreconditionError, match=r"parts\[1\]: the store holds embeddings of model model-a"):
        await client.find_scenes((VideoPart("x"), EmbeddingPart(X, "model-b")), ALL)
    with pytest.raises(PreconditionError, match="model-b"):
        await client.timeline("x", query_of(X, "model-b"))
    with pytest.raises(InvalidInputError, match="has 3 components; got 2"):
        await client.timeline("x", query_of(X[:2]))


NO_SCORES = (math.nan, math.inf, -math.inf)
NO_SHARES = (0.0, -0.5, 1.1, math.nan, math.inf)
NO_MOMENT = media_pb2.MomentReference(video_id="x", offset=Duration(seconds=-1))
PART = media_pb2.QueryPart(embedding=EMBEDDING)


def scenes_asked(**fields):
    return "FindScenes", store_pb2.FindScenesRequest(parts=[PART], **fields)


def videos_asked(**fields):
    return "FindVideos", store_pb2.FindVideosRequest(parts=[PART], **fields)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (("FindScenes", store_pb2.FindScenesRequest()), "parts has 0 elements; it must have 1 to 100"),
        (scenes_asked(query=EMBEDDING), "query and parts are both set"),
        (("FindVideos", store_pb2.FindVideosRequest(parts=[PART] * 101)), "parts has 101 elements"),
        (("ScoreTimeline", store_pb2.ScoreTimelineRequest(video_id="x")), "parts has 0 elements"),
        (("ScoreTimeline", store_pb2.ScoreTimelineRequest(parts=[PART])), "video_id ''"),
        (
            ("ScoreTimeline", store_pb2.ScoreTimelineRequest(video_id="x", parts=[media_pb2.QueryPart(weight=2)])),
            "parts[0] says nothing",
        ),
        (
            ("FindScenes", store_pb2.FindScenesRequest(parts=[media_pb2.QueryPart(video_id="x", weight=0)])),
            "parts[0].weight is 0.0; it must be finite and not 0",
        ),
        (scenes_asked(filter=media_pb2.VideoFilter(condition=media_pb2.VideoCondition())), "condition says nothing"),
        (scenes_asked(softmax_temperature=1), "softmax_temperature has no meaning without scene_scoring"),
        (videos_asked(scene_scoring=3, softmax_temperature=-1), "softmax_temperature is -1.0"),
        (videos_asked(time_window=media_pb2.VideoSegment()), "time_window must end after it starts"),
        (
            scenes_asked(time_window=media_pb2.VideoSegment(start_offset=Duration(seconds=-1))),
            "time_window.start_offset must be 0 or more",
        ),
        (scenes_asked(cursor="elsewhere"), "cursor 'elsewhere' is none that this request has returned"),
        *(
            (asked(min_score=value), f"min_score is {value}")
            for asked in (scenes_asked, videos_asked)
            for value in NO_SCORES
        ),
        *(
            (asked(**{field: value}), f"{field} is {value}; it must be greater than 0, and at most 1")
            for asked in (scenes_asked, videos_asked)
            for field in ("relative_cutoff", "merge_ratio", "duplicate_similarity")
            for value in NO_SHARES
        ),
        *((videos_asked(diversity=value), f"diversity is {value}") for value in (-0.1, 1.1, math.nan)),
        *((videos_asked(video_scoring=3, top_scene_count=n), f"top_scene_count is {n}") for n in (-1, 0, 101)),
        (videos_asked(top_scene_count=3), "top_scene_count has no meaning without video_scoring"),
        (videos_asked(diversity=0.1, cursor="elsewhere"), "cursor is set, but a ranking with diversity has"),
        (
            ("FindScenes", store_pb2.FindScenesRequest(parts=[media_pb2.QueryPart(moment=NO_MOMENT)])),
            "parts[0].moment.offset must be 0 or more",
        ),
        (videos_asked(cursor="\N{GRINNING FACE}"), "is none that this request has returned"),
    ],
)
async def test_a_request_that_is_wrong_as_written_is_refused_and_says_what_to_do(client, stub, asked, complaint):
    await fill(client)
    method, request = asked
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await getattr(stub, method)(request)
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert complaint in failure.value.details()


async def test_searches_leave_room_for_other_calls(client):
    await client.put_video(video(), scenes(500, dimension=64))
    query = query_of(scenes(1, dimension=64)[0].samples[0].vector)
    searching = [asyncio.ensure_future(client.find_scenes(query, ALL)) for _ in range(50)]
    await client.video("v")
    waiting = sum(not search.done() for search in searching)
    assert [len(found.hits) for found in await asyncio.gather(*searching)] == [500] * 50
    assert waiting > 25


class Held(Catalog):
    """Its searches and removals last until it closes."""

    def __init__(self, folder):
        super().__init__(folder)
        self.let_go = threading.Event()

    def __exit__(self, *error):
        self.let_go.set()
        super().__exit__(*error)

    def find_scenes(self, query, ranking):
        self.let_go.wait()
        return super().find_scenes(query, ranking)

    def delete(self, video_id):
        self.let_go.wait()
        super().delete(video_id)


async def test_calls_that_were_given_up_take_no_threads_from_others(tmp_path):
    async with store(tmp_path, Held) as client, grpc.aio.insecure_channel(client.address) as channel:
        stub = store_pb2_grpc.StoreServiceStub(channel)
        for _ in range(os.cpu_count() + 8):  # more than there are threads for calls of all kinds
            for given_up in (
                stub.FindScenes(store_pb2.FindScenesRequest(query=EMBEDDING), timeout=0.05),
                stub.DeleteVideo(store_pb2.DeleteVideoRequest(video_id="v"), timeout=0.05),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as failure:
                    await given_up
                assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await stub.GetStats(store_pb2.GetStatsRequest(), timeout=5)).video_count == 0
