"""Shared values on the wire: what goes out comes back, and what is wrong is refused."""

import math

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from services.common import convert, vectors
from services.common.errors import InvalidInputError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import (
    NO_VECTOR,
    Detection,
    Model,
    Sample,
    Scene,
    Segment,
    Video,
)
from tests.strategies import counts, lengths, text, times, videos
from videosearch.v1 import indexer_pb2, media_pb2

float32 = st.floats(-1, 1, width=32)
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


@given(jobs)
def test_a_job_comes_back_whole(job):
    assert convert.job_from(convert.job_to(job)) == job


@given(st.builds(Model, text, text, counts, counts, counts, float32, text, text))
def test_a_model_comes_back_whole(model):
    assert convert.model_from(convert.model_to(model)) == model


def test_a_detection_without_details_is_the_default_one():
    assert convert.detection_from(media_pb2.SceneDetection()) == Detection()


def test_a_scene_is_put_with_its_vectors_and_their_model():
    vector = vectors.normalize([3.0, 4.0])
    message = convert.scene_to(Scene(0, Segment(0, 1), (Sample(5, vector),)), "model")
    assert message.samples[0].embedding == convert.embedding_to(vector, "model")


def test_a_listed_scene_has_offsets_and_no_vectors():
    message = convert.scene_to(Scene(2, Segment(0, 9), (Sample(5, NO_VECTOR),)), "model")
    scene = convert.scene_from(message)
    assert not message.samples[0].HasField("embedding")
    assert (scene.ordinal, scene.samples[0].offset_ns, scene.samples[0].vector.size) == (2, 5, 0)


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


@pytest.mark.parametrize(
    "detection",
    [
        media_pb2.SceneDetection(detector=0),
        media_pb2.SceneDetection(threshold=0),
        media_pb2.SceneDetection(threshold=math.nan),
        media_pb2.SceneDetection(threshold=math.inf),
        media_pb2.SceneDetection(min_scene_duration=Duration(seconds=-1)),
        media_pb2.SceneDetection(max_scene_duration=Duration()),
        media_pb2.SceneDetection(max_scene_duration=Duration(seconds=2**63 // 10**9 + 1)),
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


def test_a_page_begins_with_the_number_of_its_token():
    assert [convert.page_number_from(token, "ListScenes") for token in ("", "0", "120")] == [None, 0, 120]


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT ONE}", "1" * 19])
def test_a_page_token_that_is_no_number_is_refused(token):
    with pytest.raises(InvalidInputError, match="is none that ListScenes has returned"):
        convert.page_number_from(token, "ListScenes")
