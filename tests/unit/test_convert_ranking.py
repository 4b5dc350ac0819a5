"""Queries, rankings and what they find on the wire: what goes out comes back, and what is wrong is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import convert, vectors
from services.common.errors import InvalidInputError
from services.common.media import SceneHit, SceneScoring, Segment, TimelinePoint, VideoHit, VideoScoring
from services.common.ranking import (
    EmbeddingPart,
    RankedScenes,
    RankedVideos,
    ScenePart,
    SceneRanking,
    VideoPart,
    VideoRanking,
)
from tests.strategies import counts, filters, lengths, segments, text, video_ids, videos
from videosearch.v1 import media_pb2, search_pb2, store_pb2

float32 = st.floats(-1, 1, width=32)
scene_hits = st.builds(SceneHit, video_ids, counts, segments, float32, lengths)
ranked_scenes = st.builds(RankedScenes, st.tuples(scene_hits), st.tuples(videos), text, st.booleans())
ranked_videos = st.builds(
    RankedVideos, st.tuples(st.builds(VideoHit, videos, float32, st.tuples(scene_hits))), text, st.booleans()
)
weights = st.floats(allow_nan=False, allow_infinity=False).filter(bool)
references = st.builds(ScenePart, video_ids, counts, weights) | st.builds(VideoPart, video_ids, weights)
temperatures = st.floats(0, exclude_min=True, allow_infinity=False)
scorings = st.sampled_from([{"scene_scoring": scoring} for scoring in SceneScoring]) | temperatures.map(
    lambda temperature: {"scene_scoring": SceneScoring.SOFTMAX, "softmax_temperature": temperature}
)
only_store = st.fixed_dictionaries({"time_window": st.none() | segments, "cursor": text})
scene_rankings = st.builds(
    lambda *values, scoring: SceneRanking(*values, **scoring),
    st.integers(1, 1000),
    st.none() | st.integers(1, 1000),
    filters,
    scoring=scorings,
)
video_rankings = st.builds(
    lambda *values, scoring, of_video: VideoRanking(*values, **scoring, video_scoring=of_video),
    st.integers(1, 1000),
    st.integers(0, 100),
    filters,
    scoring=scorings,
    of_video=st.sampled_from(VideoScoring),
)
UNIT = vectors.normalize([3.0, 4.0])
EMBEDDING = convert.embedding_to(UNIT, "model")


@given(ranked_scenes)
def test_ranked_scenes_come_back_whole(found):
    stored = store_pb2.FindScenesResponse(**convert.ranked_scenes_to(found), next_cursor=found.next_cursor)
    cursor, truncated = found.next_cursor, found.query_truncated
    assert convert.ranked_scenes_from(stored, next_cursor=cursor) == replace(found, query_truncated=False)
    searched = search_pb2.SearchScenesResponse(**convert.ranked_scenes_to(found))
    assert convert.ranked_scenes_from(searched, query_truncated=truncated) == replace(found, next_cursor="")


@given(ranked_videos)
def test_ranked_videos_come_back_whole(found):
    stored = store_pb2.FindVideosResponse(**convert.ranked_videos_to(found), next_cursor=found.next_cursor)
    cursor, truncated = found.next_cursor, found.query_truncated
    assert convert.ranked_videos_from(stored, next_cursor=cursor) == replace(found, query_truncated=False)
    searched = search_pb2.SearchVideosResponse(**convert.ranked_videos_to(found))
    assert convert.ranked_videos_from(searched, query_truncated=truncated) == replace(found, next_cursor="")


@given(scene_rankings, only_store)
def test_a_ranking_of_scenes_comes_back_whole(ranking, rest):
    ranking = replace(ranking, **rest)
    asked = convert.scene_ranking_to(ranking) | convert.store_ranking_to(ranking)
    assert convert.scene_ranking_from(store_pb2.FindScenesRequest(**asked)) == ranking


@given(video_rankings, only_store)
def test_a_ranking_of_videos_comes_back_whole(ranking, rest):
    ranking = replace(ranking, **rest)
    asked = convert.video_ranking_to(ranking) | convert.store_ranking_to(ranking)
    assert convert.video_ranking_from(store_pb2.FindVideosRequest(**asked)) == ranking


@given(scene_rankings, video_rankings)
def test_a_ranking_of_a_search_comes_back_with_what_a_search_can_ask_for(of_scenes, of_videos):
    request = search_pb2.SearchScenesRequest(**convert.scene_ranking_to(of_scenes))
    usual = SceneRanking().softmax_temperature
    assert convert.scene_ranking_from(request) == replace(of_scenes, softmax_temperature=usual)
    request = search_pb2.SearchVideosRequest(**convert.video_ranking_to(of_videos))
    assert convert.video_ranking_from(request) == replace(of_videos, softmax_temperature=usual)


def test_a_ranking_asked_for_without_details_is_the_default_one():
    assert convert.scene_ranking_from(store_pb2.FindScenesRequest()) == SceneRanking()
    assert convert.video_ranking_from(store_pb2.FindVideosRequest()) == VideoRanking()


@given(st.lists(references, min_size=1, max_size=100))
def test_parts_that_name_what_is_stored_come_back_whole(parts):
    assert convert.parts_from(convert.parts_to(tuple(parts))) == tuple(parts)


@given(weights)
def test_an_embedding_comes_back_with_its_model_and_its_weight(weight):
    (part,) = convert.parts_from(convert.parts_to((EmbeddingPart(UNIT, "model", weight),)))
    assert isinstance(part, EmbeddingPart)
    assert (part.vector.tolist(), part.model, part.weight) == (UNIT.tolist(), "model", weight)


def test_a_part_without_a_weight_counts_as_1():
    parts = [media_pb2.QueryPart(video_id="v"), media_pb2.QueryPart(embedding=EMBEDDING)]
    assert [part.weight for part in convert.parts_from(parts)] == [1.0, 1.0]


def test_the_query_of_one_embedding_is_one_part():
    (part,) = convert.query_from(store_pb2.FindScenesRequest(query=EMBEDDING))
    assert isinstance(part, EmbeddingPart)
    assert (part.vector.tolist(), part.model, part.weight) == (UNIT.tolist(), "model", 1.0)


@given(st.lists(st.builds(TimelinePoint, lengths, counts, float32), max_size=5))
def test_a_timeline_comes_back_whole(points):
    assert convert.timeline_from(convert.timeline_to(points)) == tuple(points)


def a_part(**fields):
    return media_pb2.QueryPart(**fields)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ([], "there is no query: give 1 to 100 parts"),
        ([a_part(video_id="v")] * 101, "the number of parts is 101; it must be 1 to 100"),
        ([a_part(video_id="v"), a_part()], r"parts\[1\] says nothing: set one of embedding, scene, video_id"),
        ([a_part(video_id="v", weight=0)], r"parts\[0\].weight is 0.0; it must be finite and not 0"),
        ([a_part(video_id="v", weight=math.nan)], r"parts\[0\].weight is nan"),
        ([a_part(video_id="v", weight=-math.inf)], r"parts\[0\].weight is -inf"),
        ([a_part(video_id="a b")], r"parts\[0\].video_id 'a b' must be 1 to 128 characters"),
        ([a_part(scene=media_pb2.SceneReference())], r"parts\[0\].scene.video_id ''"),
        ([a_part(embedding=media_pb2.Embedding(vector=EMBEDDING.vector))], r"parts\[0\].embedding.model is empty"),
        ([a_part(embedding=media_pb2.Embedding(model="m", vector=b"123"))], r"parts\[0\].embedding: a vector is 4"),
        (
            [a_part(embedding=media_pb2.Embedding(model="m", vector=np.float32([2]).tobytes()))],
            r"parts\[0\].embedding: .* this vector's is 2: normalize it",
        ),
    ],
)
def test_bad_parts_are_refused(parts, complaint):
    with pytest.raises(InvalidInputError, match=complaint):
        convert.parts_from(parts)


@pytest.mark.parametrize("request_type", [store_pb2.FindScenesRequest, store_pb2.FindVideosRequest])
def test_a_request_has_a_query_or_parts(request_type):
    with pytest.raises(InvalidInputError, match="there is no query"):
        convert.query_from(request_type())
    with pytest.raises(InvalidInputError, match="both query and parts are set"):
        convert.query_from(request_type(query=EMBEDDING, parts=[a_part(video_id="v")]))


@pytest.mark.parametrize("top_k", [0, -1, 1001, 10**9])
def test_a_top_k_out_of_range_is_refused(top_k):
    with pytest.raises(InvalidInputError, match=f"top_k is {top_k}; it must be 1 to 1000"):
        convert.scene_ranking_from(search_pb2.SearchScenesRequest(top_k=top_k))


@pytest.mark.parametrize("scenes_per_video", [0, -1])
def test_a_ranking_of_scenes_with_none_of_a_video_is_refused(scenes_per_video):
    with pytest.raises(InvalidInputError, match="must be 1 or more"):
        convert.scene_ranking_from(search_pb2.SearchScenesRequest(scenes_per_video=scenes_per_video))


@pytest.mark.parametrize("scenes_per_video", [-1, 101])
def test_scenes_of_a_video_out_of_range_are_refused(scenes_per_video):
    with pytest.raises(InvalidInputError, match="must be 0 to 100"):
        convert.video_ranking_from(search_pb2.SearchVideosRequest(scenes_per_video=scenes_per_video))


@pytest.mark.parametrize("number", [0, 99])
def test_a_scoring_that_is_none_is_refused(number):
    known = rf"scene_scoring is {number}; it must be one of 1 \(best\), 2 \(mean\), 3 \(softmax\)"
    with pytest.raises(InvalidInputError, match=known):
        convert.scene_ranking_from(search_pb2.SearchScenesRequest(scene_scoring=number))
    with pytest.raises(InvalidInputError, match="video_scoring"):
        convert.video_ranking_from(search_pb2.SearchVideosRequest(video_scoring=number))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    asked = {"scene_scoring": media_pb2.SCENE_SCORING_SOFTMAX, "softmax_temperature": temperature}
    with pytest.raises(InvalidInputError, match=f"softmax_temperature is {temperature}; it must be finite and greater"):
        convert.scene_ranking_from(store_pb2.FindScenesRequest(**asked))


def test_a_temperature_without_its_scoring_is_refused():
    with pytest.raises(InvalidInputError, match="has no meaning without scene_scoring SCENE_SCORING_SOFTMAX"):
        convert.video_ranking_from(store_pb2.FindVideosRequest(softmax_temperature=0.01))


def test_a_time_window_that_does_not_end_after_it_starts_is_refused():
    window = convert.segment_to(Segment(5, 5))
    with pytest.raises(InvalidInputError, match="time_window must end after it starts; got 5 to 5 ns"):
        convert.scene_ranking_from(store_pb2.FindScenesRequest(time_window=window))
