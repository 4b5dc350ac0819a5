from dataclasses import replace

import numpy as np
import pytest

from services.common.errors import InvalidInputError
from services.common.media import Sample, Segment
from services.store.draft import Draft
from tests.stores import SECOND, indexed, scene, scenes, video

FIRST, SECOND_SCENE = scenes(2)
FIRST_SAMPLE = FIRST.samples[0]


def test_a_finished_video_counts_its_scenes_and_knows_when_it_was_stored():
    stored = indexed(video(), scenes(2)).video
    assert stored.scene_count == 2
    assert stored.index_time is not None


def test_embeddings_are_kept_as_float16_scene_after_scene():
    embeddings = indexed(video(), [FIRST, SECOND_SCENE]).embeddings
    vectors = [sample.vector for one in (FIRST, SECOND_SCENE) for sample in one.samples]
    np.testing.assert_array_equal(embeddings, np.float16(vectors))


def test_scenes_may_leave_a_gap_of_time_between_them():
    late = replace(SECOND_SCENE, segment=Segment(2 * SECOND + 1, 5 * SECOND))
    late = replace(late, samples=(replace(late.samples[0], offset_ns=3 * SECOND),))
    assert len(indexed(video(), [FIRST, late]).scenes) == 2


def test_a_video_without_a_model_is_refused():
    with pytest.raises(InvalidInputError, match=r"video\.model"):
        Draft(video(model=""))


def test_a_video_without_scenes_is_refused():
    with pytest.raises(InvalidInputError, match="no scenes"):
        indexed(video(), [])


def test_more_scenes_than_the_limit_are_too_many(monkeypatch):
    monkeypatch.setattr("services.store.draft.MAX_SCENES", 1)
    draft = Draft(video())
    draft.add(FIRST)
    with pytest.raises(InvalidInputError, match="more than 1 scenes"):
        draft.add(SECOND_SCENE)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (replace(SECOND_SCENE, ordinal=2), "ordinals run from 0"),
        (FIRST, "ordinals run from 0"),
        (replace(SECOND_SCENE, segment=Segment(2 * SECOND - 1, 4 * SECOND)), "never overlap"),
        (replace(SECOND_SCENE, segment=Segment(2 * SECOND, 2**63)), "ends beyond"),
        (replace(SECOND_SCENE, samples=()), "0 samples"),
        (scene(1, np.tile(np.float32([1] + 7 * [0]), (65, 1))), "65 samples"),
        (replace(SECOND_SCENE, samples=SECOND_SCENE.samples[::-1]), "in order of time"),
        (replace(SECOND_SCENE, samples=(replace(FIRST_SAMPLE, offset_ns=2 * SECOND - 1),)), "outside of its span"),
        (replace(SECOND_SCENE, samples=(replace(FIRST_SAMPLE, offset_ns=4 * SECOND),)), "outside of its span"),
        (replace(SECOND_SCENE, samples=(Sample(2 * SECOND, np.float32([1])),)), "one length"),
    ],
)
def test_a_scene_that_cannot_follow_is_refused(second, complaint):
    draft = Draft(video())
    draft.add(FIRST)
    with pytest.raises(InvalidInputError, match=complaint):
        draft.add(second)
