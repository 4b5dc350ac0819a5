"""Searches for what is described in several parts: texts, images, and what is indexed already."""

import asyncio

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common import vectors
from services.common.errors import InvalidInputError, NotFoundError
from services.common.ranking import ImagePart, MomentPart, ScenePart, SceneRanking, TextPart, VideoPart, VideoRanking
from tests.searches import searching
from tests.standins import DIMENSION, MODEL, word_vector
from tests.stores import SECOND, scenes, video
from videosearch.v1 import media_pb2, search_pb2

ALL = SceneRanking(top_k=1000, include_named=True)
SCENES = {"a": scenes(4, 3, DIMENSION, seed=1), "b": scenes(3, 2, DIMENSION, seed=2), "c": scenes(1, 1, DIMENSION)}
WORDS = st.lists(st.sampled_from(["rain", "snow", "fog", "sun"]), min_size=1, max_size=4).map(" ".join)
WEIGHTS = st.floats(-1000, 1000).filter(lambda weight: abs(weight) > 1e-3)
PLACES = st.sampled_from([(name, scene.ordinal) for name, of_video in SCENES.items() for scene in of_video])
PARTS = st.one_of(
    st.builds(TextPart, WORDS, WEIGHTS),
    st.builds(lambda words, weight: ImagePart(words.encode(), weight), WORDS, WEIGHTS),
    st.builds(lambda place, weight: ScenePart(*place, weight), PLACES, WEIGHTS),
    st.builds(VideoPart, st.sampled_from(list(SCENES)), WEIGHTS),
    st.builds(
        lambda place, number, weight: MomentPart(place[0], _offset(*place, number), weight),
        PLACES,
        st.integers(0),
        WEIGHTS,
    ),
)


def _offset(name, ordinal, number):
    """Of one of the scene's samples, or a little later."""
    samples = SCENES[name][ordinal].samples
    return samples[number % len(samples)].offset_ns + number % 1000


def stored(name, ordinal=None):
    """The vectors as they are stored, of a video or one of its scenes: (n, D)."""
    wanted = SCENES[name] if ordinal is None else [SCENES[name][ordinal]]
    return np.stack([sample.vector for scene in wanted for sample in scene.samples]).astype(np.float16).astype(float)


def vector_of(part):
    match part:
        case TextPart(text):
            return word_vector(text)
        case ImagePart(image):
            return word_vector(image.decode())
        case ScenePart(name, ordinal):
            return vectors.normalize(stored(name, ordinal).mean(axis=0))
        case VideoPart(name):
            return vectors.normalize(stored(name).mean(axis=0))
        case MomentPart(name, offset_ns):
            samples = [sample for scene in SCENES[name] for sample in scene.samples]
            nearest = min(range(len(samples)), key=lambda n: abs(samples[n].offset_ns - offset_ns))
            return stored(name)[nearest]


@pytest.fixture
async def world(tmp_path):
    async with searching(tmp_path, filled=False) as world:
        for name, its_scenes in SCENES.items():
            await world.videos.put_video(video(name, MODEL), its_scenes)
        yield world


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(description=st.lists(PARTS, min_size=1, max_size=6).map(tuple))
async def test_any_mix_of_parts_scores_as_the_same_arithmetic_in_numpy_does(world, description):
    weights = np.array([part.weight for part in description])
    query = weights @ np.stack([vector_of(part) for part in description]) / np.abs(weights).sum()  # (P,) @ (P, D)
    expected = {
        (name, scene.ordinal): max(stored(name, scene.ordinal) @ query) for name in SCENES for scene in SCENES[name]
    }
    found = await world.client.search_scenes(description, ALL)
    assert {(hit.video_id, hit.ordinal): hit.score for hit in found.hits} == pytest.approx(expected, abs=2e-3)
    by_video = await world.client.search_videos(description, VideoRanking(top_k=1000, include_named=True))
    best = {name: max(score for (of, _), score in expected.items() if of == name) for name in SCENES}
    assert {hit.video.video_id: hit.score for hit in by_video.hits} == pytest.approx(best, abs=2e-3)


async def test_texts_and_images_are_embedded_in_one_call_each_at_the_same_time(world):
    world.embedder.gate.clear()
    parts = (TextPart("rain"), ImagePart(b"snow"), TextPart("fog", -1), VideoPart("a"), ImagePart(b"sun"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.client.search_scenes(parts, ALL))
        for _ in range(2):
            await world.embedder.reached.acquire()
        world.embedder.gate.set()
    assert (world.embedder.texts, world.embedder.images) == ([["rain", "fog"]], [[b"snow", b"sun"]])


async def test_what_is_indexed_needs_no_embedder(world):
    await world.client.search_scenes((ScenePart("a", 0), VideoPart("b", -1), MomentPart("c", SECOND)), ALL)
    assert (world.embedder.texts, world.embedder.images) == ([], [])


async def test_an_image_that_is_none_is_named_by_its_place_among_the_parts(world):
    parts = (TextPart("rain"), ImagePart(b"snow"), VideoPart("a"), ImagePart(b"\xff\xd8"))
    with pytest.raises(InvalidInputError, match=r"^parts\[3\].image: not a JPEG, PNG or WebP file$"):
        await world.client.search_scenes(parts, ALL)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (VideoPart("x"), r"parts\[1\]: .*'x'"),
        (ScenePart("a", 4), r"parts\[1\]: video 'a' has 4 scenes, and no scene 4"),
        (MomentPart("x", 0), r"parts\[1\]: .*'x'"),
    ],
)
async def test_a_part_that_names_what_does_not_exist_is_named_by_its_place(world, part, said):
    with pytest.raises(NotFoundError, match=said):
        await world.client.search_scenes((TextPart("rain"), part), ALL)
    with pytest.raises(NotFoundError, match=said):
        await world.client.timeline("a", (TextPart("rain"), part))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([search_pb2.SearchPart()], "parts[0] says nothing: set one of text, image, scene, moment, video_id"),
        ([search_pb2.SearchPart(text=" ")], "parts[0].text is empty"),
        ([search_pb2.SearchPart(text="rain", weight=0)], "parts[0].weight is 0.0; it must be finite and not 0"),
        ([search_pb2.SearchPart(text="rain")] * 101, "parts has 101 elements; it must have 1 to 100"),
        ([search_pb2.SearchPart(image=b"")], "parts[0].image is empty"),
        ([search_pb2.SearchPart(scene=media_pb2.SceneReference(video_id="a b"))], "parts[0].scene.video_id 'a b'"),
    ],
)
async def test_bad_parts_are_refused_by_every_search(world, parts, said):
    calls = [
        world.stub.SearchScenes(search_pb2.SearchScenesRequest(parts=parts)),
        world.stub.SearchVideos(search_pb2.SearchVideosRequest(parts=parts)),
        world.stub.ScoreTimeline(search_pb2.SearchServiceScoreTimelineRequest(video_id="a", parts=parts)),
    ]
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call
        assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert failure.value.details().startswith(said)
    assert world.embedder.texts == []
