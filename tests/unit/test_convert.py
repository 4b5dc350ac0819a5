"""Shared values on the wire: what goes out comes back, and what is wrong is refused."""

import math
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from services.common import convert, vectors
from services.common.errors import InvalidInputError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import (
    Detection,
    Detector,
    Model,
    Sample,
    Scene,
    SceneHit,
    SceneScoring,
    Segment,
    Video,
    VideoFilter,
    VideoHit,
    VideoScoring,
)
from services.common.ranking import SceneRanking, VideoRanking
from videosearch.v1 import indexer_pb2, media_pb2, search_pb2, store_pb2

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
video_ids = st.from_regex(r"\A[A-Za-z0-9._:-]{1,128}\Z")
lengths = st.integers(0, 10**18)
counts = st.integers(0, 2**31 - 1)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
float32 = st.floats(-1, 1, width=32)
metadata = st.dictionaries(key, text, max_size=5)
filters = st.builds(VideoFilter, video_ids=st.frozensets(video_ids, max_size=5), metadata=metadata)
segments = st.builds(lambda start, length: Segment(start, start + length), lengths, st.integers(1, 10**15))
detections = st.builds(
    Detection,
    detector=st.sampled_from(Detector),
    threshold=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    min_scene_ns=lengths,
    max_scene_ns=st.integers(1, 10**18),
)
rates = st.fractions(Fraction(1, 1000), 1000, max_denominator=100_000)
videos = st.builds(
    Video,
    video_id=video_ids,
    uri=text,
    title=text,
    content_sha256=text,
    model=text,
    decoded_ns=lengths,
    duration_ns=st.none() | lengths,
    decode_errors=counts,
    width=counts,
    height=counts,
    codec=text,
    frame_rate=st.none() | rates,
    detection=detections,
    metadata=metadata,
    scene_count=counts,
    index_time=st.none() | times,
)
scene_hits = st.builds(SceneHit, video_ids, counts, segments, float32, lengths)
jobs = st.builds(
    IndexJob,
    job_id=text,
    uri=text,
    state=st.sampled_from(JobState),
    stage=st.sampled_from(JobStage),
    progress_percent=st.integers(0, 100),
    scene_count=counts,
    video_id=text,
    error=text,
    create_time=times,
    update_time=times,
    end_time=st.none() | times,
)


@given(lengths)
def test_a_duration_comes_back_to_the_nanosecond(nanoseconds):
    assert convert.duration_from(convert.duration_to(nanoseconds), "offset") == nanoseconds


@given(videos)
def test_a_video_comes_back_whole(video):
    assert convert.video_from(convert.video_to(video)) == video


@given(videos, float32, st.lists(scene_hits, max_size=3))
def test_a_video_hit_comes_back_whole(video, score, scenes):
    hit = VideoHit(video, score, tuple(scenes))
    assert convert.video_hit_from(convert.video_hit_to(hit)) == hit


@given(jobs)
def test_a_job_comes_back_whole(job):
    assert convert.job_from(convert.job_to(job)) == job


@given(st.builds(Model, text, text, counts, counts, counts, float32, text, text))
def test_a_model_comes_back_whole(model):
    assert convert.model_from(convert.model_to(model)) == model


@given(filters)
def test_a_filter_comes_back_whole(video_filter):
    assert convert.filter_from(convert.filter_to(video_filter)) == video_filter


@pytest.mark.parametrize("request_type", [store_pb2.FindScenesRequest, search_pb2.SearchScenesRequest])
@given(
    ranking=st.builds(
        SceneRanking, st.integers(1, 1000), st.none() | st.integers(1, 1000), filters, st.sampled_from(SceneScoring)
    )
)
def test_a_ranking_of_scenes_comes_back_whole(request_type, ranking):
    assert convert.scene_ranking_from(request_type(**convert.scene_ranking_to(ranking))) == ranking


@pytest.mark.parametrize("request_type", [store_pb2.FindVideosRequest, search_pb2.SearchVideosRequest])
@given(
    ranking=st.builds(
        VideoRanking,
        st.integers(1, 1000),
        st.integers(0, 100),
        filters,
        st.sampled_from(SceneScoring),
        st.sampled_from(VideoScoring),
    )
)
def test_a_ranking_of_videos_comes_back_whole(request_type, ranking):
    assert convert.video_ranking_from(request_type(**convert.video_ranking_to(ranking))) == ranking


def test_a_ranking_asked_for_without_details_is_the_default_one():
    assert convert.scene_ranking_from(store_pb2.FindScenesRequest()) == SceneRanking()
    assert convert.video_ranking_from(store_pb2.FindVideosRequest()) == VideoRanking()


def test_a_detection_without_details_is_the_default_one():
    assert convert.detection_from(media_pb2.SceneDetection()) == Detection()


def test_a_scene_is_put_with_its_vectors_and_their_model():
    vector = vectors.normalize([3.0, 4.0])
    message = convert.scene_to(Scene(0, Segment(0, 1), (Sample(5, vector),)), "model")
    assert message.samples[0].embedding == convert.embedding_to(vector, "model")


def test_a_listed_scene_has_offsets_and_no_vectors():
    message = convert.scene_to(Scene(2, Segment(0, 9), (Sample(5, convert.NO_VECTOR),)), "model")
    scene = convert.scene_from(message)
    assert not message.samples[0].HasField("embedding")
    assert (scene.ordinal, scene.samples[0].offset_ns, scene.samples[0].vector.size) == (2, 5, 0)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=64).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_a_vector_comes_back_bit_by_bit(values):
    vector = vectors.normalize(values)
    np.testing.assert_array_equal(vectors.from_bytes(vectors.to_bytes(vector)), vector)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_bytes_that_are_no_float32_are_refused(size):
    with pytest.raises(InvalidInputError, match="4 bytes a component"):
        vectors.from_bytes(b"x" * size)


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 1.0], [math.nan, 0.0], [math.inf, 0.0]])
def test_a_vector_not_of_unit_length_is_refused(values):
    with pytest.raises(InvalidInputError, match="normalize"):
        vectors.from_bytes(np.array(values, "<f4").tobytes())


@pytest.mark.parametrize("duration", [Duration(seconds=-1), Duration(nanos=-1), Duration(nanos=1_000_000_000)])
def test_a_duration_below_zero_or_not_normal_is_refused(duration):
    with pytest.raises(InvalidInputError, match="offset must be 0 or more"):
        convert.duration_from(duration, "offset")


@pytest.mark.parametrize("span", [Segment(5, 5), Segment(6, 5)])
def test_a_segment_that_does_not_end_after_it_starts_is_refused(span):
    with pytest.raises(InvalidInputError, match="must end after it starts"):
        convert.segment_from(convert.segment_to(span))


@pytest.mark.parametrize("video_id", ["", "a b", "a/b", "ü", "x" * 129, "a\n"])
def test_a_bad_video_id_is_refused(video_id):
    with pytest.raises(InvalidInputError, match="1 to 128 characters"):
        convert.video_id_from(video_id)


@pytest.mark.parametrize(
    "given_metadata", [{"": "v"}, {"k" * 129: "v"}, {"k": "v" * 4097}, {str(n): "v" for n in range(65)}]
)
def test_metadata_over_its_limits_is_refused(given_metadata):
    with pytest.raises(InvalidInputError, match="metadata"):
        convert.metadata_from(given_metadata)


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
    with pytest.raises(InvalidInputError, match="scene_scoring"):
        convert.scene_ranking_from(search_pb2.SearchScenesRequest(scene_scoring=number))
    with pytest.raises(InvalidInputError, match="video_scoring"):
        convert.video_ranking_from(search_pb2.SearchVideosRequest(video_scoring=number))


def test_a_filter_of_too_many_videos_is_refused():
    with pytest.raises(InvalidInputError, match="at most 1000"):
        convert.filter_from(media_pb2.VideoFilter(video_ids=[str(n) for n in range(1001)]))


@pytest.mark.parametrize(
    "detection",
    [
        media_pb2.SceneDetection(detector=0),
        media_pb2.SceneDetection(threshold=0),
        media_pb2.SceneDetection(threshold=math.nan),
        media_pb2.SceneDetection(threshold=math.inf),
        media_pb2.SceneDetection(min_scene_duration=Duration(seconds=-1)),
        media_pb2.SceneDetection(max_scene_duration=Duration()),
    ],
)
def test_a_bad_detection_is_refused(detection):
    with pytest.raises(InvalidInputError, match="detection"):
        convert.detection_from(detection)


def test_a_frame_rate_over_nothing_is_refused():
    message = convert.video_to(Video("v", "", "", "", "", 1))
    message.frame_rate.numerator = 30
    with pytest.raises(InvalidInputError, match="denominator"):
        convert.video_from(message)


def test_a_job_in_no_state_is_refused():
    with pytest.raises(InvalidInputError, match="state"):
        convert.job_from(indexer_pb2.IndexJob())


@pytest.mark.parametrize(("asked", "given_size"), [(0, 100), (1, 1), (1000, 1000), (5000, 1000)])
def test_a_page_has_the_size_asked_for_within_limits(asked, given_size):
    assert convert.page_size_from(asked) == given_size


def test_a_negative_page_size_is_refused():
    with pytest.raises(InvalidInputError, match="page_size is -1"):
        convert.page_size_from(-1)
