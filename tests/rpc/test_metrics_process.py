"""What services tell Prometheus as processes, from their start on; for the embedder's see test_embedder_process.py."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import cv2
import pytest

from services.common import exposition
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.ranking import ImagePart, VideoRanking
from tests.indexers import ColorEmbedder, embedder_serving
from tests.scrapes import Scrape, scrape
from tests.videos import scene_picture, write_video
from tools.stack import Service, StackError, free_addresses

SCENES = [40, 30, 50]


def service(name: str, environment: Mapping[str, str]) -> Service:
    return Service(name, environment[f"VIDEOSEARCH_{name.upper()}_ADDRESS"], environment, log=lambda name, line: None)


def environment(folder: Path, embedder_address: str = "") -> dict[str, str]:
    addresses, metrics = free_addresses() | {"embedder": embedder_address}, free_addresses()
    return {
        **{f"VIDEOSEARCH_{name.upper()}_ADDRESS": address for name, address in addresses.items()},
        **{f"VIDEOSEARCH_{name.upper()}_LISTEN": address for name, address in addresses.items()},
        **{f"VIDEOSEARCH_{name.upper()}_METRICS_LISTEN": address for name, address in metrics.items()},
        "VIDEOSEARCH_STORE_DATA_FOLDER": str(folder / "store"),
        "VIDEOSEARCH_INDEXER_DATA_FOLDER": str(folder / "indexer"),
        "VIDEOSEARCH_INDEXER_VIDEO_ROOTS": str(folder),
    }


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Store, indexer and search; yields their environment."""
    async with AsyncExitStack() as stack:
        known = environment(folder, await stack.enter_async_context(embedder_serving(ColorEmbedder())))
        services = [service(name, known) for name in ("store", "indexer", "search")]
        for each in services:
            await each.start()
            stack.push_async_callback(each.stop)
        for each in services:
            await each.ready()
        yield known


async def scraped(name: str, known: Mapping[str, str]) -> Scrape:
    return await scrape(int(known[f"VIDEOSEARCH_{name.upper()}_METRICS_LISTEN"].rpartition(":")[2]))


async def test_each_service_tells_what_it_has_done(tmp_path) -> None:
    film = write_video(tmp_path / "film.mp4", SCENES)
    async with running(tmp_path) as known:
        async with IndexerClient(known["VIDEOSEARCH_INDEXER_ADDRESS"]) as indexer:
            job = await indexer.index_video(str(film.path))
            *_, job = [state async for state in indexer.watch_job(job.job_id)]
        async with SearchClient(known["VIDEOSEARCH_SEARCH_ADDRESS"]) as search:
            picture = cv2.imencode(".png", scene_picture(1))[1].tobytes()
            assert (await search.search_videos((ImagePart(picture),), VideoRanking())).hits
        seen = {name: await scraped(name, known) for name in ("store", "indexer", "search")}
    assert [each.value("serving") for each in seen.values()] == [1, 1, 1]
    _check_indexer(seen["indexer"])
    _check_store(seen["store"])
    assert [seen["search"].value("stage_seconds_count", stage=stage) for stage in ("embed", "find")] == [1, 1]


def _check_indexer(seen: Scrape) -> None:
    states = ("queued", "running", "succeeded", "failed", "cancelled")
    assert [seen.value("indexer_jobs", state=state) for state in states] == [0, 0, 1, 0, 0]
    assert (seen.value("indexer_frames_total"), seen.value("indexer_scenes_total")) == (sum(SCENES), len(SCENES))
    assert (seen.value("indexer_spool_bytes"), seen.value("indexer_max_spool_bytes")) == (0, 107374182400)


def _check_store(seen: Scrape) -> None:
    counts = [seen.value(f"store_{what}") for what in ("videos", "scenes", "samples", "approximate_samples")]
    assert counts == [1, len(SCENES), 8, 0]
    assert (seen.value("store_read_only"), seen.value("store_approximate_failed")) == (0, 0)
    assert seen.value("store_vectors_bytes") == 8 * (3 * 2 + 4)
    assert min(seen.value(f"store_{what}_bytes") for what in ("disk", "disk_free")) > 0


async def test_a_taken_metrics_port_stops_the_start_and_is_told_in_one_line(tmp_path) -> None:
    with exposition.serving("127.0.0.1:0", "LISTEN") as port:
        taken = f"127.0.0.1:{port}"
        store = service("store", {**environment(tmp_path), "VIDEOSEARCH_STORE_METRICS_LISTEN": taken})
        await store.start()
        complaint = f"cannot start: .*VIDEOSEARCH_STORE_METRICS_LISTEN={taken}: [^|]*$"
        with pytest.raises(StackError, match=rf"exit status 1: .*{complaint}"):
            await store.ready()
