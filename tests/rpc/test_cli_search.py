"""`videosearch search` against services on loopback."""

import numpy as np
import pytest

from cli.output import timecode
from services.common import vectors
from tests.commands import data, found_scenes, found_videos, rows, run, seconds, services
from tests.standins import DIMENSION, MODEL, WordEmbedder, fill, scenes_of, word_vector
from tests.stores import SECOND, image, scene, video, with_images


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture(autouse=True)
async def videos(embedder, tmp_path, monkeypatch):
    """A store with two videos."""
    async with services(embedder, tmp_path / "data", monkeypatch) as client:
        await fill(client)
        yield client


def cosine(text, other):
    return float(word_vector(text) @ word_vector(other))


async def put(videos, video_id, *descriptions, **fields):
    await videos.put_video(video(video_id, MODEL, **fields), scenes_of(*descriptions))


async def scores(*arguments):
    """Of scenes, by video and ordinal."""
    found = await data("search", "--scenes", *arguments)
    return {(hit["video_id"], hit["ordinal"]): hit["score"] for hit in found["hits"]}


async def video_scores(*arguments):
    found = await data("search", *arguments)
    return {hit["video"]["video_id"]: hit["score"] for hit in found["hits"]}


# what is printed


async def test_a_table_has_a_row_for_each_scene():
    result = await run("search", "a butterfly", "-k", "1", "--scenes-per-video", "2")
    assert rows(result) == [
        ["rank", "score", "video", "scene", "best", "moment"],
        ["1", "1.000", "Rabbit", seconds(2, 4), "00:00:03.000"],
        ["0.408", seconds(0, 2), "00:00:01.000"],
    ]


async def test_a_score_that_is_no_scenes_has_a_row_of_its_own():
    result = await run("search", "rain", "-k", "1", "--video-scoring", "mean")
    assert ["1", "0.500", "Street"] in rows(result)


async def test_json_has_videos_with_their_scenes():
    found = await data("search", "a butterfly")
    assert [hit["video"]["video_id"] for hit in found["hits"]] == ["rabbit", "street"]
    assert found["hits"][0]["scenes"][0]["ordinal"] == 1
    assert found["query_truncated"] is False


async def test_json_has_scenes_and_their_videos():
    found = await data("search", "rain", "--scenes", "-k", "1")
    (hit,) = found["hits"]
    assert (hit["video_id"], hit["segment"], hit["best_offset_s"]) == ("street", {"start_s": 2.0, "end_s": 4.0}, 3.0)
    assert [video["title"] for video in found["videos"]] == ["Street"]


async def test_json_has_what_was_left_out_and_no_cursor():
    found = await data("search", "rain", "--scenes", "-k", "1", "--meta", "kind=real")
    assert set(found) == {"hits", "videos", "filtered", "query_truncated"}
    assert found["filtered"] == {"video_count": 1, "scene_count": 0, "low_score_count": 0, "duplicate_count": 0}


async def test_it_is_told_when_nothing_was_found():
    result = await run("search", "rain", "--video", "unknown")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Nothing found.\nLeft out: 2 videos by the filter or as named.\n"


async def test_it_is_told_when_a_text_was_truncated():
    assert "its end did not count" in (await run("search", "butterfly", "rain " * 30)).stderr


async def test_nothing_more_is_told_when_that_was_all():
    assert (await run("search", "rain")).stderr == ""


# what is to be found


async def test_texts_have_weights():
    found = await scores("butterfly", "rain^0.5", "a^-2")
    for (video_id, ordinal), text in {("rabbit", 1): "a butterfly", ("street", 1): "rain"}.items():
        expected = (cosine("butterfly", text) + 0.5 * cosine("rain", text) - 2 * cosine("a", text)) / 3.5
        assert found[video_id, ordinal] == pytest.approx(expected, abs=1e-6)


async def test_an_image_is_found(tmp_path):
    (tmp_path / "picture.jpg").write_bytes(b"rain")
    assert await found_scenes("--image", str(tmp_path / "picture.jpg"), "-k", "1") == [("street", 1)]


async def test_an_image_and_a_text_are_weighed_together(tmp_path):
    (tmp_path / "picture.jpg").write_bytes(b"rain")
    found = await scores("butterfly", "--image", f"{tmp_path}/picture.jpg^-3")
    assert found["street", 1] == pytest.approx((cosine("butterfly", "rain") - 3) / 4, abs=1e-6)


async def test_what_is_like_a_video_is_not_that_video():
    assert await found_videos("--like", "rabbit") == ["street"]


async def test_what_is_named_may_be_found_too():
    assert await found_videos("--like", "rabbit", "--include-named") == ["rabbit", "street"]


@pytest.mark.parametrize("like", ["rabbit@0:02.9", "rabbit#1"])
async def test_more_like_a_moment_or_a_scene(like):
    found = await scores("--like", like)
    assert ("rabbit", 1) not in found
    assert found["rabbit", 0] == pytest.approx(cosine("a butterfly", "a rabbit wakes"), abs=1e-6)


async def test_what_is_liked_may_have_a_weight():
    found = await scores("rain", "--like", "rabbit#1^-1", "--include-named")
    assert found["rabbit", 1] == pytest.approx((cosine("rain", "a butterfly") - 1) / 2, abs=1e-6)


@pytest.mark.parametrize("like", ["unknown", "rabbit#9", "unknown@1:00"])
async def test_what_is_liked_must_exist(like):
    result = await run("search", "--like", like)
    assert (result.exit_code, result.stdout) == (3, "")
    assert like[:6] in result.stderr


# how many, and which


@pytest.fixture
async def many(videos):
    """1100 scenes of one video in a known order by rain, none of them near another."""
    random = np.random.default_rng(0)
    cosines, others = random.permutation(np.linspace(-0.9, 0.9, 1100)), random.standard_normal((1100, DIMENSION))
    rain = word_vector("rain")
    others = vectors.normalize(others - np.outer(others @ rain, rain))
    made = cosines[:, None] * rain + np.sqrt(1 - cosines[:, None] ** 2) * others  # (N, D)
    scenes = [scene(ordinal, [vector]) for ordinal, vector in enumerate(vectors.normalize(made))]
    await videos.put_video(video("many", MODEL), scenes)
    return [("many", int(ordinal)) for ordinal in np.argsort(-cosines)]


async def test_more_than_one_answer_holds_are_found_in_order(many):
    assert await found_scenes("rain", "-k", "1050", "--video", "many") == many[:1050]


async def test_the_first_can_be_left_out(many):
    assert await found_scenes("rain", "-k", "60", "--skip", "1020", "--video", "many") == many[1020:1080]


async def test_what_was_left_out_is_counted_over_all_answers(many):
    found = await data("search", "rain", "--scenes", "-k", "1100", "--video", "many", "--min-score", "-0.8")
    left_out = {"video_count": 2, "scene_count": 0, "low_score_count": 1100 - len(found["hits"]), "duplicate_count": 0}
    assert (found["filtered"], 1000 < len(found["hits"]) < 1100) == (left_out, True)


@pytest.mark.usefixtures("many")
async def test_near_duplicates_are_counted_over_all_answers(videos):
    alike = [scene(ordinal, [word_vector("rain") * sign]) for ordinal, sign in enumerate([1] * 20 + [-1] * 10)]
    await videos.put_video(video("alike", MODEL), alike)
    both = ("--video", "many", "--video", "alike")
    found = await data("search", "rain", "--scenes", "-k", "2000", *both, "--distinct", "0.99")
    assert (len(found["hits"]), found["filtered"]["duplicate_count"]) == (1100 + 2, 20 - 1 + 10 - 1)


async def test_ranks_go_on_after_those_left_out_and_it_is_told_how_to_go_on():
    result = await run("search", "a butterfly", "--scenes", "-k", "2", "--skip", "1")
    assert [row[0] for row in rows(result)[1:]] == ["2", "3"]
    assert result.stderr == "More: add --skip 3\n"


async def test_there_is_no_more_at_the_end():
    result = await run("search", "a butterfly", "--scenes", "-k", "2", "--skip", "3")
    assert [row[0] for row in rows(result)[1:]] == ["4", "5"]
    assert result.stderr == ""
    beyond = await run("search", "a butterfly", "--scenes", "--skip", "5")
    assert (beyond.exit_code, beyond.stdout, beyond.stderr) == (0, "", "Nothing more found.\n")


async def test_videos_of_scenes_are_those_of_what_is_not_left_out():
    found = await data("search", "a butterfly", "--scenes", "-k", "1", "--skip", "1")
    assert [hit["video_id"] for hit in found["hits"]] == [video["video_id"] for video in found["videos"]]


async def test_a_video_has_as_many_scenes_as_wanted():
    found = await data("search", "a butterfly", "--scenes-per-video", "0")
    assert [hit["scenes"] for hit in found["hits"]] == [[], []]
    assert sorted(video_id for video_id, _ in await found_scenes("a", "--scenes-per-video", "1")) == [
        "rabbit",
        "street",
    ]


async def test_pictures_do_not_make_an_answer_shorter(videos, tmp_path):
    """An answer with thumbnails ends at 4 MiB."""
    made = scenes_of(*["rain"] * 100)
    await videos.put_video(video("album", MODEL), with_images(made, [image(0, 60_000)]))
    report = tmp_path / "report.html"
    found = await data("search", "rain", "--scenes", "--video", "album", "-k", "90", "--html", str(report))
    assert (len(found["hits"]), report.exists()) == (90, True)


# how scores are made


@pytest.fixture
async def mixed(videos):
    """A scene of two samples, one of them rain, and one of sun."""
    first = scene(0, [word_vector("rain"), word_vector("snow")])
    await videos.put_video(video("mixed", MODEL), [first, scene(1, [word_vector("sun")])])


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        (("best",), 1.0),
        (("mean",), 0.5),
        (("softmax",), 1.0),
        (("softmax", "--temperature", "1"), np.e / (np.e + 1)),
    ],
)
async def test_a_scene_is_scored_as_asked(scoring, expected):
    found = await scores("rain", "--video", "mixed", "--scene-scoring", *scoring)
    assert found["mixed", 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [(("best",), 1.0), (("mean",), 0.25), (("top-mean",), 1 / 3), (("top-mean", "--top-scenes", "2"), 0.5)],
)
async def test_a_video_is_scored_as_asked(videos, scoring, expected):
    await put(videos, "four", "sun", "rain", "snow", "butterfly")
    found = await video_scores("rain", "--video", "four", "--video-scoring", *scoring)
    assert found == {"four": pytest.approx(expected, abs=1e-6)}


# merged, distinct, good enough


async def test_scenes_that_touch_become_one_hit_with_their_whole_span(videos):
    await put(videos, "long", "sun", "rain", "rain falls", "rain", "snow")
    arguments = ("rain", "--scenes", "--video", "long", "--merge", "0.7", "-k", "1")
    (hit,) = (await data("search", *arguments))["hits"]
    assert (hit["segment"], hit["merged_before"], hit["merged_after"]) == ({"start_s": 2.0, "end_s": 8.0}, 0, 2)
    assert ["1", "1.000", "long", seconds(2, 8), timecode(3 * SECOND)] in rows(await run("search", *arguments))


async def test_near_duplicates_are_left_out_and_counted(videos):
    await put(videos, "street-again", "bikes on a street", "rain")
    assert await found_videos("rain") == ["street", "street-again", "rabbit"]
    result = await run("search", "rain", "--distinct", "0.99")
    assert [row[2] for row in rows(result)[1:] if len(row) == 5 and row[0].isdigit()] == ["Street", "Rabbit"]
    assert result.stderr == "Left out: 1 near-duplicate.\n"


async def test_only_hits_that_score_enough_are_found():
    enough = [score for score in (await scores("a butterfly")).values() if score >= 0.5]
    result = await run("search", "a butterfly", "--scenes", "--min-score", "0.5")
    assert [row[1] for row in rows(result)[1:]] == [f"{score:.3f}" for score in enough]
    assert result.stderr == f"Left out: {5 - len(enough)} hits below the cut-off.\n"


async def test_the_cut_off_may_be_a_share_of_the_best_score():
    found = await scores("a street")
    best = max(found.values())
    for share in (0.5, 0.9):
        expected = {scene: score for scene, score in found.items() if score >= share * best}
        assert await scores("a street", "--cutoff", str(share)) == expected


async def test_what_was_left_out_is_counted_by_reason():
    result = await run("search", "a", "--scenes", "--video", "rabbit", "--window", "1-", "--min-score", "0.6")
    expected = "Left out: 1 video by the filter or as named, 2 hits below the cut-off.\n"
    assert result.stderr == expected
    result = await run("search", "rain", "--scenes", "--video", "rabbit", "--window", "2-4")
    expected = "Left out: 1 video by the filter or as named, 2 scenes outside the window or as named.\n"
    assert result.stderr == expected
