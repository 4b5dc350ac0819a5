"""The command line against services on loopback."""

import json
import os
import re

import pytest

from tests.commands import data, rows, run, seconds, services
from tests.standins import MODEL, WordEmbedder, fill

NOBODY = "127.0.0.1:1"


@pytest.fixture
def embedder():
    return WordEmbedder()


@pytest.fixture(autouse=True)
async def videos(embedder, indexer, tmp_path, monkeypatch):
    """All four services, two videos in the store."""
    async with services(embedder, tmp_path / "data", monkeypatch) as client:
        await fill(client)
        yield


# failures


@pytest.mark.parametrize("command", [("search",), ("videos", "show"), ("jobs", "cancel"), ("index", "--title")])
async def test_an_argument_that_is_not_utf8_is_refused_in_one_line_and_exits_2(command):
    result = await run(*command, os.fsdecode(b"bad\xff"))
    assert (result.exit_code, result.stdout) == (2, "")
    refused = "bad\N{REPLACEMENT CHARACTER} is not UTF-8: give it as UTF-8, or rename the file"
    assert result.stderr == f"videosearch: {refused}\n"


async def test_an_unreachable_service_is_named_in_one_line_and_exits_5(monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_SEARCH_ADDRESS", NOBODY)
    result = await run("search", "rain")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert result.stderr.startswith(f"videosearch: SearchService at {NOBODY}: ")
    assert result.stderr.count("\n") == 1


async def test_a_service_that_fails_is_told_with_the_request_id_and_exits_1(embedder):
    embedder.model = NotImplemented  # no text: the embedder fails at it
    result = await run("search", "rain")
    assert result.exit_code == 1
    assert re.fullmatch(r"videosearch: internal error.* \(request id [0-9a-f]{32}\)\n", result.stderr)


# videos


async def test_videos_list_has_a_row_for_each():
    result = await run("videos", "list")
    assert [row[:4] for row in rows(result)[1:]] == [
        ["rabbit", "Rabbit", "00:00:06.000", "3"],
        ["street", "Street", "00:00:04.000", "2"],
    ]


async def test_videos_list_takes_a_count():
    assert [video["video_id"] for video in await data("videos", "list", "-n", "1")] == ["rabbit"]


async def test_videos_show_has_the_scenes():
    result = await run("videos", "show", "street")
    assert ["1", seconds(2, 4), "00:00:03.000"] in rows(result)


async def test_videos_show_json_is_the_video_and_its_scenes():
    shown = await data("videos", "show", "street")
    assert (shown["model"], shown["metadata"], shown["decoded_s"]) == (MODEL, {"kind": "real"}, 4.0)
    assert shown["scenes"][1] == {
        "ordinal": 1,
        "segment": {"start_s": 2.0, "end_s": 4.0},
        "samples": [{"offset_s": 3.0}],
    }


async def test_videos_delete_deletes_all_that_are_named():
    assert (await run("videos", "delete", "rabbit", "street")).stderr == "deleted rabbit\ndeleted street\n"
    assert await data("videos", "list") == []


@pytest.mark.parametrize("command", ["show", "delete"])
async def test_an_unknown_video_exits_3(command):
    result = await run("videos", command, "unknown")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "unknown" in result.stderr


# status


async def test_status_has_health_model_and_counts():
    await run("index", "/videos/a.mp4", "/videos/fail.mp4")
    found = await data("status")
    assert {name: service["health"] for name, service in found["services"].items()} == {
        "embedder": "serving",
        "store": "serving",
        "indexer": "serving",
        "search": "serving",
    }
    assert (found["model"]["name"], found["model"]["fingerprint"]) == ("words", MODEL)
    assert (found["store"]["video_count"], found["store"]["scene_count"], found["store"]["sample_count"]) == (2, 5, 5)
    assert found["jobs"] == {"queued": 0, "running": 0, "failed": 1}
    assert found["models_differ"] is False


async def test_status_prints_a_row_for_each_service():
    result = await run("status")
    assert [row[0] for row in rows(result)] == ["service", "embedder", "store", "indexer", "search"]


async def test_status_says_when_the_models_differ(embedder):
    embedder.model = "words-2"
    result = await run("status")
    assert "embeddings of model words-1, the embedder serves words-2" in result.stderr


async def test_status_exits_5_when_a_service_is_away_and_shows_the_others(monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", NOBODY)
    result = await run("status", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 5
    assert (found["services"]["indexer"]["health"], found["services"]["store"]["health"]) == ("unreachable", "serving")
    assert found["jobs"] is None
