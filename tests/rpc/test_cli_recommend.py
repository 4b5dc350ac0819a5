"""`videosearch recommend` against services on loopback."""

import numpy as np
import pytest

from services.common import vectors
from tests.commands import data, rows, run, services
from tests.standins import MODEL, WordEmbedder, scenes_of, word_vector
from tests.stores import SECOND, scene, video

FILMS = {
    "storm": ("rain", "rain falls", "wind"),
    "shower": ("rain", "rain drops", "sun"),
    "beach": ("sun", "sand", "sea"),
    "dunes": ("sand", "sun", "heat"),
    "cats": ("a cat", "a cat sleeps", "a kitten"),
}


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture(autouse=True)
async def videos(embedder, tmp_path, monkeypatch):
    """A store with some films."""
    async with services(embedder, tmp_path / "data", monkeypatch) as client:
        for video_id, descriptions in FILMS.items():
            kind = {"kind": "animals" if video_id == "cats" else "weather"}
            stored = video(video_id, MODEL, decoded_ns=6 * SECOND, metadata=kind)
            await client.put_video(stored, scenes_of(*descriptions))
        yield client


async def recommended(*arguments):
    found = await data("recommend", *arguments)
    return [hit["video"]["video_id"] for hit in found["hits"]]


async def test_what_is_like_the_liked_comes_first_and_the_liked_not_at_all():
    found = await recommended("--like", "storm")
    assert found[0] == "shower"
    assert set(found) == set(FILMS) - {"storm"}


@pytest.mark.parametrize("like", ["storm#0", "storm@0:01"])
async def test_a_scene_or_a_moment_may_be_liked(like):
    found = await recommended("--like", like)
    assert found[0] == "shower"
    assert "storm" not in found


async def test_what_is_not_liked_is_not_recommended_and_what_is_like_it_comes_last():
    assert await recommended("--like", "storm", "--unlike", "beach", "-k", "1") == ["shower"]
    found = await recommended("--like", "storm", "--unlike", "beach")
    assert found[-1] == "dunes"
    assert set(found) == set(FILMS) - {"storm", "beach"}


async def test_nothing_is_embedded_for_it(embedder):
    assert await recommended("--like", "storm", "--unlike", "beach")
    assert (embedder.texts, embedder.images) == ([], [])


async def test_recommendations_are_printed_as_hits_are():
    result = await run("recommend", "--like", "storm", "-k", "1", "--scenes-per-video", "1")
    assert result.exit_code == 0
    assert [row[0] for row in rows(result)] == ["rank", "1", rows(result)[2][0]]
    assert rows(result)[1][2] == "shower"
    assert result.stderr == "Left out: 1 video by the filter or as named.\n"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("--meta", "kind=animals"), {"cats"}),
        (("--video", "beach", "--video", "storm"), {"beach"}),
        (("--max-length", "6"), {"shower", "beach", "dunes", "cats"}),
        (("--min-length", "6.001"), set()),
        (("--indexed-before", "2026-01-01"), set()),
        (("--indexed-since", "2026-01-01"), {"shower", "beach", "dunes", "cats"}),
        (("--where", '{"not": {"metadataIn": {"key": "kind", "values": ["weather"]}}}'), {"cats"}),
    ],
)
async def test_recommendations_can_be_narrowed(condition, expected):
    assert set(await recommended("--like", "storm", *condition)) == expected


def between(angle):
    """Between rain and sun."""
    return vectors.normalize(np.cos(angle) * word_vector("rain") + np.sin(angle) * word_vector("sun"))


@pytest.fixture
async def fan(videos):
    """Videos whose embeddings are farther and farther from the first one's; the next two are almost the same."""
    for video_id, angle in {"fan-0": 0.0, "fan-1": 0.40, "fan-2": 0.41, "fan-3": 0.9}.items():
        await videos.put_video(video(video_id, MODEL, metadata={"kind": "fan"}), [scene(0, [between(angle)])])


@pytest.mark.usefixtures("fan")
async def test_with_diversity_the_second_is_unlike_the_first():
    like_the_first = ("--like", "fan-0", "--meta", "kind=fan")
    assert await recommended(*like_the_first) == ["fan-1", "fan-2", "fan-3"]
    assert await recommended(*like_the_first, "--diversity", "0.9") == ["fan-1", "fan-3", "fan-2"]


@pytest.mark.usefixtures("fan")
async def test_near_duplicates_are_recommended_once():
    assert await recommended("--like", "fan-0", "--meta", "kind=fan", "--distinct", "0.999") == ["fan-1", "fan-3"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Missing option '--like'"),
        (("--unlike", "beach"), "Missing option '--like'"),
        (("--like", "storm^2"), "--like 'storm^2' must be"),
        (("--like", "storm", "--unlike", "beach#1^2"), "--unlike beach#1^2: '1^2' is no scene"),
        (("--like", "storm@noon"), "--like storm@noon: 'noon' is no time"),
        (("--like", "storm", "-k", "1001"), "Invalid value for '-k'"),
        (("--like", "storm", "--diversity", "1.1"), "Invalid value for '--diversity'"),
        (("--like", "storm", "--distinct", "0"), "--distinct is 0.0"),
        (("--like", "storm", "--scenes-per-video", "99999999999"), "Invalid value for '--scenes-per-video'"),
        (("--like", "storm") * 101, "with disliked has 101 elements"),
        (("--like", "storm", "--where", "{"), "--where is no VideoCondition"),
    ],
)
async def test_wrong_input_is_refused_with_a_reason(arguments, reason):
    result = await run("recommend", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (("--like", "unknown"), "no video 'unknown'"),
        (("--like", "storm", "--unlike", "unknown#1"), "--unlike: no video 'unknown'"),
    ],
)
async def test_what_is_liked_or_not_must_exist(named, reason):
    result = await run("recommend", *named)
    assert (result.exit_code, result.stdout) == (3, "")
    assert reason in result.stderr
