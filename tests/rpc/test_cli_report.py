"""`videosearch search --html` against services on loopback."""

import asyncio
import base64
import os
from dataclasses import replace
from functools import partial

import pytest

from cli import report
from services.common.clients.search import SearchClient
from services.common.errors import PreconditionError
from services.common.media import VideoHit
from services.common.ranking import RankedVideos, SceneRanking, TextPart, VideoRanking
from tests.commands import rows, run
from tests.servers import serving
from tests.standins import MODEL, WordEmbedder, embedder_at, fill, scenes_of, search_at
from tests.stores import SECOND, files_no_larger_than, image, store, video, with_images
from videosearch.v1 import search_pb2, search_pb2_grpc

WANTED = (TextPart("a butterfly"),)

RANKING = VideoRanking(include_thumbnails=True)


@pytest.fixture
async def videos(tmp_path, monkeypatch):
    """The store's client; search and embedder serve too."""
    async with (
        embedder_at(WordEmbedder()) as embedder_address,
        store(tmp_path / "data") as videos,
        search_at(embedder_address, videos.address) as search_address,
    ):
        monkeypatch.setenv("VIDEOSEARCH_SEARCH_ADDRESS", search_address)
        await fill(videos)
        yield videos


@pytest.fixture
async def search(videos):
    async with SearchClient(os.environ["VIDEOSEARCH_SEARCH_ADDRESS"]) as client:
        yield client


@pytest.fixture
def file(tmp_path):
    return tmp_path / "report.html"


@pytest.mark.usefixtures("videos")
async def test_search_writes_a_report_of_what_it_prints(file):
    result = await run("search", "a butterfly", "--html", str(file))
    assert rows(result)[1][:3] == ["1", "1.000", "Rabbit"]
    page = file.read_text()
    assert page.index("Rabbit</h2>") < page.index("Street</h2>")
    assert page.count("<figure ") == 2
    assert page.count('class="moment"') == 3 + 2


@pytest.mark.usefixtures("videos")
async def test_search_for_scenes_writes_a_report_too(file):
    result = await run("search", "rain", "--scenes", "-k", "3", "--html", str(file), "--json")
    assert result.exit_code == 0, result.output
    assert file.read_text().count('class="moment"') == 3


@pytest.mark.usefixtures("videos")
async def test_ranks_go_on_after_what_was_skipped(file):
    await run("search", "a butterfly", "--skip", "1", "--html", str(file))
    assert '<span class="rank">2</span>' in file.read_text()


async def test_the_report_has_the_thumbnails_that_the_store_keeps(videos, file):
    scenes = with_images(scenes_of("x", "y"), [image(1)])
    await videos.put_video(video("pictured", MODEL, decoded_ns=4 * SECOND), scenes)
    await run("search", "x", "--video", "pictured", "--html", str(file))
    assert file.read_text().count(base64.b64encode(image(1)).decode()) == 2


async def test_a_video_deleted_meanwhile_is_shown_without_a_curve(videos, search, file):
    results = await search.search_videos(WANTED, RANKING)
    await videos.delete_video("rabbit")
    await report.write(file, search, WANTED, results)
    page = file.read_text()
    assert "Rabbit</h2>" in page
    assert page.count("No curve: the video was deleted meanwhile, or has no sampled frames.") == 1
    assert page.count("<figure ") == 1


async def test_nothing_found_is_a_report_too(search, file):
    results = await search.search_scenes(WANTED, SceneRanking(min_score=2))
    await report.write(file, search, WANTED, results)
    assert "Nothing found." in file.read_text()


async def test_at_most_four_curves_are_asked_for_at_once(file):
    busy = Busy()
    hits = tuple(VideoHit(video(str(n)), 0.5, ()) for n in range(13))
    add = partial(search_pb2_grpc.add_SearchServiceServicer_to_server, busy)
    async with (
        serving(SearchClient.service, add) as address,
        SearchClient(address) as client,
        asyncio.TaskGroup() as tasks,
    ):
        writing = tasks.create_task(report.write(file, client, WANTED, RankedVideos(hits)))
        await busy.reached_four.wait()
        await client.timeline(LAST, WANTED)  # on the same connection, so after all that the report has asked for
        await writing
    assert (busy.most, busy.answered) == (4, 13)


LAST = "last"


class Busy(search_pb2_grpc.SearchServiceServicer):
    """Its calls wait for the one about `LAST`."""

    SearchVideos = SearchScenes = RecommendVideos = None  # nobody calls them

    def __init__(self) -> None:
        self.now = self.most = self.answered = 0
        self.reached_four = asyncio.Event()
        self.last = asyncio.Event()

    async def ScoreTimeline(self, request, context):
        if request.video_id == LAST:
            self.last.set()
        else:
            await self._wait()
        return search_pb2.SearchServiceScoreTimelineResponse()

    async def _wait(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == 4:
            self.reached_four.set()
        await self.last.wait()
        self.now -= 1
        self.answered += 1


# the file


async def test_a_report_takes_the_place_of_the_one_before(search, file, tmp_path):
    file.write_text("before")
    await report.write(file, search, WANTED, await search.search_videos(WANTED, RANKING))
    assert file.read_text().startswith("<!DOCTYPE html>")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "data"}


@pytest.mark.parametrize("name", ["<script>\"'&.html", "ä b.html"])
@pytest.mark.usefixtures("videos")
async def test_a_report_may_have_any_name(tmp_path, name):
    assert (await run("search", "rain", "--html", str(tmp_path / name))).exit_code == 0
    assert name not in (tmp_path / name).read_text()


@pytest.mark.parametrize(
    "name",
    [".", "data", "missing/report.html", "file/report.html", "pipe", "x" * 250 + ".html", "x" * 300 + ".html"],
)
@pytest.mark.usefixtures("videos")
async def test_a_report_that_cannot_be_written_is_told_in_one_line(tmp_path, name):
    (tmp_path / "file").write_text("a file")
    os.mkfifo(tmp_path / "pipe")
    result = await run("search", "rain", "--html", str(tmp_path / name))
    assert result.exit_code == 4
    assert result.stderr.startswith(f"videosearch: {tmp_path / name} ")
    assert result.stderr.count("\n") == 1


async def test_a_link_to_a_report_stays_a_link(search, file, tmp_path):
    link = tmp_path / "link.html"
    link.symlink_to(file)
    await report.write(link, search, WANTED, await search.search_videos(WANTED, RANKING))
    assert link.is_symlink()
    assert file.read_text().startswith("<!DOCTYPE html>")


async def test_a_full_disk_leaves_the_report_before(search, file, tmp_path):
    file.write_text("before")
    results = await search.search_videos(WANTED, replace(RANKING, top_k=1))
    with files_no_larger_than(1000), pytest.raises(PreconditionError, match="cannot be written"):
        await report.write(file, search, WANTED, results)
    assert file.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "data"}
