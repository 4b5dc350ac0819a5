"""Queries, rankings and what they find on the wire: what goes out comes back, and what is wrong is refused."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import convert
from services.common.errors import InvalidInputError
from services.common.media import SceneHit, SceneScoring, Segment, TimelinePoint, VideoHit, VideoScoring
from services.common.ranking import FilteredCounts, RankedScenes, RankedVideos, SceneRanking, VideoRanking
from tests.strategies import counts, filters, lengths, segments, text, video_ids, videos
from videosearch.v1 import media_pb2, search_pb2, store_pb2

float32 = st.floats(-1, 1, width=32)
scene_hits = st.builds(SceneHit, video_ids, counts, segments, float32, lengths, counts, counts, st.binary(max_size=5))
filtered = st.builds(FilteredCounts, *[st.integers(0, 2**63 - 1)] * 4)
ranked_scenes = st.builds(
    RankedScenes, st.tuples(scene_hits), st.tuples(videos), text, filtered, query_truncated=st.booleans()
)
ranked_videos = st.builds(
    RankedVideos,
    st.tuples(st.builds(VideoHit, videos, float32, st.tuples(scene_hits))),
    text,
    filtered,
    query_truncated=st.booleans(),
)
shares = st.none() | st.floats(0, 1, exclude_min=True)
temperatures = st.floats(0, exclude_min=True, allow_infinity=False)
scorings = st.sampled_from([{"scene_scoring": scoring} for scoring in SceneScoring]) | temperatures.map(
    lambda temperature: {"scene_scoring": SceneScoring.SOFTMAX, "softmax_temperature": temperature}
)
video_scorings = st.sampled_from([{"video_scoring": scoring} for scoring in VideoScoring]) | st.integers(1, 100).map(
    lambda count: {"video_scoring": VideoScoring.TOP_MEAN, "top_scene_count": count}
)
recommended = {
    "top_k": st.integers(1, 1000),
    "video_filter": filters,
    "duplicate_similarity": shares,
    "include_thumbnails": st.booleans(),
}
asked = st.fixed_dictionaries(
    {
        **recommended,
        "time_window": st.none() | segments,
        "cursor": text,
        "min_score": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "relative_cutoff": shares,
        "merge_ratio": shares,
        "include_named": st.booleans(),
    }
)
scene_rankings = st.builds(
    lambda fields, scoring, count: SceneRanking(**fields, **scoring, scenes_per_video=count),
    asked,
    scorings,
    st.none() | st.integers(1, 1000),
)
video_rankings = st.builds(
    lambda fields, scoring, of_videos, count: VideoRanking(**fields, **scoring, **of_videos, scenes_per_video=count),
    asked,
    scorings,
    video_scorings,
    st.integers(0, 100),
)
diversities = st.floats(0, 1)
recommendations = st.builds(
    VideoRanking, **recommended, scenes_per_video=st.integers(0, 100), diversity=diversities
).map(lambda ranking: replace(ranking, video_scoring=VideoScoring.TOP_MEAN, top_scene_count=10))


@given(ranked_scenes)
def test_ranked_scenes_come_back_whole(found):
    stored = convert.ranked_scenes_to(found)
    assert convert.ranked_scenes_from(stored) == replace(found, query_truncated=False)
    searched = search_pb2.SearchScenesResponse(
        hits=stored.hits, videos=stored.videos, next_cursor=stored.next_cursor, filtered=stored.filtered
    )
    assert convert.ranked_scenes_from(searched, query_truncated=found.query_truncated) == found


@given(ranked_videos)
def test_ranked_videos_come_back_whole(found):
    stored = convert.ranked_videos_to(found)
    cursor, truncated = stored.next_cursor, found.query_truncated
    assert convert.ranked_videos_from(stored, next_cursor=cursor) == replace(found, query_truncated=False)
    searched = search_pb2.SearchVideosResponse(hits=stored.hits, filtered=stored.filtered)
    assert convert.ranked_videos_from(searched, next_cursor=cursor, query_truncated=truncated) == found
    recommended = search_pb2.RecommendVideosResponse(hits=stored.hits, filtered=stored.filtered)
    assert convert.ranked_videos_from(recommended) == replace(found, next_cursor="", query_truncated=False)


@pytest.mark.parametrize("request_type", [store_pb2.FindScenesRequest, search_pb2.SearchScenesRequest])
@given(ranking=scene_rankings)
def test_a_ranking_of_scenes_comes_back_whole(request_type, ranking):
    assert convert.scene_ranking_from(request_type(**convert.scene_ranking_to(ranking))) == ranking


@pytest.mark.parametrize("request_type", [store_pb2.FindVideosRequest, search_pb2.SearchVideosRequest])
@given(ranking=video_rankings)
def test_a_ranking_of_videos_comes_back_whole(request_type, ranking):
    assert convert.video_ranking_from(request_type(**convert.video_ranking_to(ranking))) == ranking


@given(video_rankings, diversities)
def test_a_ranking_of_the_store_comes_back_with_its_diversity(ranking, diversity):
    request = store_pb2.FindVideosRequest(**convert.video_ranking_to(ranking), diversity=diversity)
    assert convert.video_ranking_from(request) == replace(ranking, diversity=diversity)


@given(recommendations)
def test_a_ranking_of_recommendations_comes_back_whole(ranking):
    request = search_pb2.RecommendVideosRequest(**convert.recommendation_ranking_to(ranking))
    assert convert.recommendation_ranking_from(request) == ranking


def test_a_ranking_asked_for_without_details_is_the_default_one():
    assert convert.scene_ranking_from(store_pb2.FindScenesRequest()) == SceneRanking()
    assert convert.video_ranking_from(store_pb2.FindVideosRequest()) == VideoRanking()


def test_recommendations_are_scored_by_the_ten_best_scenes():
    usual = VideoRanking(video_scoring=VideoScoring.TOP_MEAN, top_scene_count=10)
    assert convert.recommendation_ranking_from(search_pb2.RecommendVideosRequest()) == usual


@given(st.lists(st.builds(TimelinePoint, lengths, counts, float32), max_size=5))
def test_a_timeline_comes_back_whole(points):
    assert convert.timeline_from(convert.timeline_to(points)) == tuple(points)


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


@pytest.mark.parametrize("field", ["relative_cutoff", "merge_ratio", "duplicate_similarity"])
@pytest.mark.parametrize("share", [0.0, -0.1, 1.001, math.nan, math.inf])
def test_a_share_out_of_range_is_refused(field, share):
    with pytest.raises(InvalidInputError, match=f"{field} is {share}; it must be greater than 0, and at most 1"):
        convert.scene_ranking_from(search_pb2.SearchScenesRequest(**{field: share}))
    with pytest.raises(InvalidInputError, match=f"{field} is {share}"):
        convert.video_ranking_from(search_pb2.SearchVideosRequest(**{field: share}))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_least_score_that_is_none_is_refused(score):
    with pytest.raises(InvalidInputError, match=f"min_score is {score}; it must be finite"):
        convert.scene_ranking_from(search_pb2.SearchScenesRequest(min_score=score))


@pytest.mark.parametrize("diversity", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize(
    ("read", "request_type"),
    [
        (convert.video_ranking_from, store_pb2.FindVideosRequest),
        (convert.recommendation_ranking_from, search_pb2.RecommendVideosRequest),
    ],
)
def test_a_diversity_out_of_range_is_refused(read, request_type, diversity):
    with pytest.raises(InvalidInputError, match=f"diversity is {diversity}; it must be 0 to 1"):
        read(request_type(diversity=diversity))


@pytest.mark.parametrize("count", [0, 101])
def test_a_number_of_best_scenes_out_of_range_is_refused(count):
    asked = {"video_scoring": media_pb2.VIDEO_SCORING_TOP_MEAN, "top_scene_count": count}
    with pytest.raises(InvalidInputError, match=f"top_scene_count is {count}; it must be 1 to 100"):
        convert.video_ranking_from(search_pb2.SearchVideosRequest(**asked))


def test_a_number_of_best_scenes_without_its_scoring_is_refused():
    with pytest.raises(InvalidInputError, match="top_scene_count has no meaning without video_scoring"):
        convert.video_ranking_from(search_pb2.SearchVideosRequest(top_scene_count=3))
