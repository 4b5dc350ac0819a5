"""What comes with the answers of a search: fields of videos, curves, and what the store has to say."""

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.common.errors import InvalidInputError, NotFoundError
from services.common.ranking import SceneRanking, TextPart, VideoPart, VideoRanking
from tests.searches import searching
from tests.standins import scenes_of
from tests.stores import SECOND
from videosearch.v1 import media_pb2, search_pb2, store_pb2, store_pb2_grpc

LIKED = [search_pb2.Example(scene=media_pb2.SceneReference(video_id="rabbit", ordinal=0))]


@pytest.fixture
async def world(tmp_path):
    async with searching(tmp_path) as world:
        yield world


async def videos_of_all_answers(world, mask):
    scenes = await world.stub.SearchScenes(search_pb2.SearchScenesRequest(text="rain", video_fields=mask))
    videos = await world.stub.SearchVideos(search_pb2.SearchVideosRequest(text="rain", video_fields=mask))
    like = await world.stub.RecommendVideos(search_pb2.RecommendVideosRequest(liked=LIKED, video_fields=mask))
    return [*scenes.videos, *(hit.video for hit in (*videos.hits, *like.hits))]


async def test_only_the_fields_of_videos_that_are_asked_for_come_and_always_the_id(world):
    found = await videos_of_all_answers(world, FieldMask(paths=["title", "metadata"]))
    street = media_pb2.Video(video_id="street", title="Street", metadata={"kind": "real"})
    rabbit = media_pb2.Video(video_id="rabbit", title="Rabbit", metadata={"kind": "cartoon"})
    assert found == [street, rabbit, street, rabbit, street]


async def test_the_id_alone_can_be_asked_for(world):
    found = await videos_of_all_answers(world, FieldMask(paths=["video_id"]))
    assert {video.SerializeToString() for video in found} == {
        media_pb2.Video(video_id=video_id).SerializeToString() for video_id in ("street", "rabbit")
    }


@pytest.mark.parametrize("mask", [None, FieldMask()])
async def test_unless_fields_are_asked_for_all_come(world, mask):
    async with grpc.aio.insecure_channel(world.videos.address) as channel:
        listed = await store_pb2_grpc.StoreServiceStub(channel).ListVideos(store_pb2.ListVideosRequest())
    stored = {video.video_id: video for video in listed.videos}
    found = await videos_of_all_answers(world, mask)
    assert found == [stored[video.video_id] for video in found]


async def test_the_client_asks_for_fields_too(world):
    found = await world.client.search_videos("rain", VideoRanking(), video_fields=["title"])
    assert (found.hits[0].video.title, found.hits[0].video.metadata) == ("Street", {})


@pytest.mark.parametrize("path", ["color", "detection.detector", "", "Title", "videoId"])
async def test_a_field_that_is_none_is_refused_and_those_that_exist_are_named(world, path):
    mask = FieldMask(paths=["title", path])
    for call in (
        world.stub.SearchScenes(search_pb2.SearchScenesRequest(text="rain", video_fields=mask)),
        world.stub.SearchVideos(search_pb2.SearchVideosRequest(text="rain", video_fields=mask)),
        world.stub.RecommendVideos(search_pb2.RecommendVideosRequest(liked=LIKED, video_fields=mask)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        known = "it takes whole fields: video_id, uri, title, metadata, content_sha256, duration, decoded_duration,"
        assert failure.value.details().startswith(f"video_fields has {path!r}; {known}")
    assert world.embedder.texts == []


async def test_a_timeline_has_a_point_for_each_sampled_frame_in_order_of_time(world):
    found = await world.client.timeline("rabbit", "a butterfly wakes")
    described = [
        samples.samples[0].vector for samples in scenes_of("a rabbit wakes", "a butterfly", "a squirrel throws nuts")
    ]
    (query,) = [samples.samples[0].vector for samples in scenes_of("a butterfly wakes")]
    assert [(point.offset_ns, point.ordinal) for point in found.points] == [(SECOND * (1 + 2 * n), n) for n in range(3)]
    assert [point.score for point in found.points] == pytest.approx([vector @ query for vector in described], abs=2e-3)


async def test_a_timeline_of_several_parts_is_their_weighted_mean(world):
    parts = (TextPart("rain", 3), VideoPart("street", -1))
    curves = [
        (await world.client.timeline("rabbit", (part,))).points for part in (TextPart("rain"), VideoPart("street"))
    ]
    found = (await world.client.timeline("rabbit", parts)).points
    expected = [(3 * like.score - unlike.score) / 4 for like, unlike in zip(*curves, strict=True)]
    assert [point.score for point in found] == pytest.approx(expected, abs=2e-3)


async def test_a_timeline_says_that_the_text_was_truncated(world):
    assert (await world.client.timeline("rabbit", "rain " * 21)).query_truncated
    assert not (await world.client.timeline("rabbit", "rain")).query_truncated


async def test_a_timeline_of_no_video_is_refused(world):
    with pytest.raises(NotFoundError, match="nowhere"):
        await world.client.timeline("nowhere", "rain")
    with pytest.raises(InvalidInputError, match="video_id ''"):
        await world.client.timeline("", "rain")
    with pytest.raises(InvalidInputError, match="text is empty"):
        await world.client.timeline("rabbit", " ")


async def test_a_search_answers_what_the_store_does(world):
    described = (VideoPart("street"),)
    ranking = SceneRanking(top_k=2, include_named=True)
    found = await world.client.search_scenes(described, ranking)
    stored = await world.videos.find_scenes(described, ranking)
    assert (found.hits, found.videos, found.filtered) == (stored.hits, stored.videos, stored.filtered)
    of_videos = VideoRanking(top_k=1, include_named=True)
    found, stored = (
        await world.client.search_videos(described, of_videos),
        await world.videos.find_videos(described, of_videos),
    )
    assert (found.hits, found.filtered) == (stored.hits, stored.filtered)
