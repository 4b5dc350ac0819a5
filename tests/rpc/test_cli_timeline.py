"""`videosearch timeline` against services on loopback."""

import asyncio
import os
import sys

import numpy as np
import pytest

from cli.curves import Curve
from cli.peaks import peaks
from cli.timeline import LEVELS, WIDTH, chart
from services.common.media import TimelinePoint
from tests.commands import data, rows, run
from tests.standins import MODEL, WordEmbedder, embedder_at, fill, scenes_of, search_at
from tests.stores import SECOND, store, video


@pytest.fixture
async def videos(tmp_path, monkeypatch):
    """The store's client; search and embedder serve too."""
    async with (
        embedder_at(WordEmbedder()) as embedder_address,
        store(tmp_path / "data") as videos,
        search_at(embedder_address, videos.address) as search_address,
    ):
        monkeypatch.setenv("VIDEOSEARCH_STORE_ADDRESS", videos.address)
        monkeypatch.setenv("VIDEOSEARCH_SEARCH_ADDRESS", search_address)
        await fill(videos)
        yield videos


async def scores(*wanted: str) -> np.ndarray:
    """Of the rabbit's curve."""
    return np.array([point["score"] for point in (await data("timeline", "rabbit", *wanted))["points"]])


@pytest.mark.usefixtures("videos")
async def test_timeline_json_has_the_points_and_the_peaks():
    found = await data("timeline", "rabbit", "a butterfly")
    assert [(point["ordinal"], point["offset_s"]) for point in found["points"]] == [(0, 1), (1, 3), (2, 5)]
    scores = [point["score"] for point in found["points"]]
    assert scores == pytest.approx([0.408, 1, 0.354], abs=0.001)
    assert found["peaks"] == [{"offset_s": 3, "ordinal": 1, "score": scores[1], "prominence": scores[1] - scores[2]}]
    assert (found["video_id"], found["query_truncated"]) == ("rabbit", False)


@pytest.mark.usefixtures("videos")
async def test_timeline_draws_the_curve_and_lists_its_peaks():
    result = await run("timeline", "rabbit", "a butterfly")
    found = await data("timeline", "rabbit", "a butterfly")
    points = [TimelinePoint(round(p["offset_s"] * SECOND), p["ordinal"], p["score"]) for p in found["points"]]
    lines = [line.plain for line in chart(Curve(points, 6 * SECOND), peaks(points, 5), WIDTH, LEVELS)]
    assert result.stdout.splitlines()[: len(lines) + 1] == ["Rabbit, 00:00:06.000", *lines]
    assert max(map(len, lines)) == WIDTH
    assert rows(result)[-2:] == [["peak", "moment", "score", "scene"], ["1", "00:00:03.000", "1.000", "1"]]


async def test_timeline_names_as_many_peaks_as_asked_for(videos):
    words = ["rain" if n % 2 else "sun" for n in range(20)]
    await videos.put_video(video("weather", MODEL, decoded_ns=40 * SECOND), scenes_of(*words))
    result = await run("timeline", "weather", "rain", "--peaks", "10")
    assert [row[0] for row in rows(result)[-10:]] == list("123456789a")
    assert len((await data("timeline", "weather", "rain", "--peaks", "3"))["peaks"]) == 3
    assert "peak " not in (await run("timeline", "weather", "rain", "--peaks", "0")).stdout


@pytest.mark.usefixtures("videos")
async def test_timeline_takes_several_texts_and_what_is_like_a_scene():
    one, other, like = [await scores(*wanted) for wanted in (("a",), ("rabbit",), ("--like", "street#1"))]
    mixed = await scores("a^0.5", "rabbit^-1", "--like", "street#1")
    assert mixed == pytest.approx((0.5 * one - other + like) / 2.5, abs=1e-5)


async def test_timeline_takes_an_image(videos, tmp_path):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"a butterfly")  # which the embedder of this test understands
    assert [peak["ordinal"] for peak in (await data("timeline", "rabbit", "--image", str(picture)))["peaks"]] == [1]


@pytest.mark.usefixtures("videos")
async def test_timeline_tells_when_a_text_was_truncated():
    assert "its end did not count" in (await run("timeline", "rabbit", "rain " * 30)).stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("unknown", "rain"), 3),
        (("rabbit",), 2),
        (("rabbit", " "), 2),
        (("a/b", "rain"), 2),
        (("rabbit", "--like", "unknown"), 3),
        (("rabbit", "rain", "--peaks", "-1"), 2),
        (("rabbit", "rain", "--peaks", "36"), 2),
    ],
)
@pytest.mark.usefixtures("videos")
async def test_timeline_refuses_what_is_wrong(arguments, exit_code):
    result = await run("timeline", *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")


async def test_timeline_is_ascii_where_nothing_else_can_be_shown(videos):
    title = "L\N{LATIN SMALL LETTER U WITH DIAERESIS}beck"
    await videos.put_video(video("rain", MODEL, title, decoded_ns=4 * SECOND), scenes_of("sun", "rain"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "timeline", "rain", "rain"),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    assert stdout.startswith(b"L?beck, 00:00:04.000\n")
    assert b"#" in stdout
