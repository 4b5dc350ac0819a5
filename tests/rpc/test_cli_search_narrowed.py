"""What `videosearch search` is narrowed to, and what it refuses, against services on loopback."""

import json
from datetime import timedelta

import pytest

from tests.commands import found_scenes, found_videos, run, services
from tests.standins import WordEmbedder, fill


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture(autouse=True)
async def videos(embedder, tmp_path, monkeypatch):
    """A store with two videos."""
    async with services(embedder, tmp_path / "data", monkeypatch) as client:
        await fill(client)
        yield client


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("--meta", "kind=real"), ["street"]),
        (("--video", "street"), ["street"]),
        (("--video", "street", "--video", "rabbit"), ["rabbit", "street"]),
        (("--min-length", "4.001"), ["rabbit"]),
        (("--max-length", "0:04"), ["street"]),
        (("--min-length", "4", "--max-length", "6"), ["rabbit", "street"]),
        (("--indexed-since", "2026-01-01"), ["rabbit", "street"]),
        (("--indexed-before", "2026-01-01T00:00Z"), []),
        (("--where", '{"metadataPrefix": {"key": "kind", "prefix": "car"}}'), ["rabbit"]),
        (("--where", '{"not": {"videoIds": {"videoIds": ["rabbit"]}}}', "--min-length", "1"), ["street"]),
        (("--meta", "kind=real", "--video", "rabbit"), []),
    ],
)
async def test_only_videos_that_meet_all_conditions_are_found(condition, expected):
    assert await found_videos("a butterfly", *condition) == expected


async def test_a_condition_may_be_in_a_file(tmp_path):
    (tmp_path / "where.json").write_text(json.dumps({"duration": {"below": "5s"}}))
    assert await found_videos("a butterfly", "--where", f"@{tmp_path}/where.json") == ["street"]


async def test_videos_are_narrowed_by_when_they_were_indexed(videos):
    second = (await videos.video("street")).index_time
    assert await found_videos("rain", "--indexed-since", second.isoformat()) == ["street"]
    assert await found_videos("rain", "--indexed-before", second.isoformat()) == ["rabbit"]
    later = (second + timedelta(seconds=1)).isoformat()
    assert await found_videos("rain", "--indexed-since", later) == []


@pytest.mark.parametrize(("window", "expected"), [("2-3", {1}), ("3.5-", {1, 2}), ("-2", {0}), ("0:01-0:02.5", {0, 1})])
async def test_only_scenes_that_overlap_the_window_are_found(window, expected):
    found = await found_scenes("a", "--video", "rabbit", "--window", window)
    assert {ordinal for _, ordinal in found} == expected


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "nothing to find"),
        ((" ",), "TEXT 1 is empty: describe in words what to find"),
        (("rain", "x" * 10_001), "TEXT 2 has 10001 characters"),
        (("rain",) * 101, "parts has 101 elements"),
        (("rain", "--image", "/nowhere.jpg"), "--image /nowhere.jpg cannot be read"),
        (("--like", "a/b"), "--like 'a/b' must be"),
        (("--like", "rabbit@noon"), "--like rabbit@noon: 'noon' is no time"),
        (("rain", "-k", "0"), "Invalid value for '-k'"),
        (("rain", "--skip", "-1"), "Invalid value for '--skip'"),
        (("rain", "--scenes", "--scenes-per-video", "0"), "--scenes-per-video is 0"),
        (("rain", "--scenes-per-video", "99999999999"), "Invalid value for '--scenes-per-video'"),
        (("rain", "--scenes", "--video-scoring", "mean"), "--video-scoring ranks videos: leave it out with --scenes"),
        (("rain", "--temperature", "0.1"), "--temperature is for --scene-scoring softmax"),
        (("rain", "--scene-scoring", "softmax", "--temperature", "0"), "--temperature is 0.0"),
        (("rain", "--top-scenes", "2"), "--top-scenes is for --video-scoring top-mean"),
        (("rain", "--scenes", "--top-scenes", "2"), "--top-scenes is for --video-scoring top-mean"),
        (("rain", "--video-scoring", "top-mean", "--top-scenes", "99999999999"), "Invalid value for '--top-scenes'"),
        (("rain", "--min-score", "nan"), "--min-score is nan"),
        (("rain", "--cutoff", "0"), "--cutoff is 0.0"),
        (("rain", "--cutoff", "1.1"), "Invalid value for '--cutoff'"),
        (("rain", "--merge", "0"), "--merge is 0.0"),
        (("rain", "--merge", "-1"), "Invalid value for '--merge'"),
        (("rain", "--distinct", "0"), "--distinct is 0.0"),
        (("rain", "--distinct", "2"), "Invalid value for '--distinct'"),
        (("rain", "--meta", "kind"), "--meta kind: write it as KEY=VALUE"),
        (("rain", "--video", "a/b"), "--video 'a/b' must be"),
        (("rain", "--min-length", "long"), "--min-length: 'long' is no time"),
        (("rain", "--indexed-since", "today"), "--indexed-since: 'today' is no date or time"),
        (("rain", "--where", "kind = real"), "--where is no VideoCondition"),
        (("rain", "--window", "5"), "--window 5: write it as START-END"),
    ],
)
async def test_wrong_input_is_refused_with_a_reason(arguments, reason):
    result = await run("search", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr


async def test_what_does_not_exist_is_named_by_its_option():
    result = await run("search", "rain", "--like", "unknown")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "--like: no video 'unknown'" in result.stderr


async def test_a_file_that_is_no_picture_is_refused(tmp_path):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"\xff")
    for command in ("search", "timeline"):
        result = await run(command, "rabbit", "rain", "--image", f"{picture}^2")
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"--image {picture}: not a JPEG" in result.stderr


async def test_another_model_than_the_stores_exits_4(embedder):
    embedder.model = "words-2"
    assert (await run("search", "rain")).exit_code == 4
