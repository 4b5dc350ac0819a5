"""Videos in, moments out: through the services as they are deployed, each in its own process."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
import pytest_asyncio

from bench.measure import PeakMemory
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.clients.store import StoreClient
from services.common.errors import UnavailableError
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import Segment, VideoFilter, nanoseconds
from services.common.ranking import SceneRanking, VideoRanking
from tests.videos import write_video
from tools.demo import EXPECTED
from tools.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

FPS = 25
PART = slice(30, 75)
"""Frames of each sample between two of its own cuts."""


@dataclass(frozen=True)
class Clients:
    indexer: IndexerClient
    store: StoreClient
    search: SearchClient

    async def index(self, path: Path, **arguments: Any) -> IndexJob:
        job = await self.indexer.index_video(str(path), **arguments)
        return await self.end_of(job.job_id)

    async def end_of(self, job_id: str) -> IndexJob:
        *_, job = [state async for state in self.indexer.watch_job(job_id)]
        return job


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(system: Stack) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        indexer = await stack.enter_async_context(IndexerClient(system.addresses["indexer"]))
        store = await stack.enter_async_context(StoreClient(system.addresses["store"]))
        search = await stack.enter_async_context(SearchClient(system.addresses["search"]))
        yield Clients(indexer, store, search)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def indexed(clients: Clients, samples: dict[str, Path]) -> dict[str, str]:
    """The samples' video ids by name."""
    jobs = {name: await clients.index(path, metadata={"name": name}) for name, path in samples.items()}
    assert {job.state for job in jobs.values()} == {JobState.SUCCEEDED}
    return {name: job.video_id for name, job in jobs.items()}


@pytest.fixture(scope="module")
def folder(system: Stack) -> Path:
    """Where films may lie that are to be indexed."""
    return Path(system.environment["VIDEOSEARCH_STORE_DATA_FOLDER"]).parent


async def test_every_scene_has_a_picture_of_its_middle(clients: Clients, indexed: dict[str, str]) -> None:
    for video_id in indexed.values():
        for scene in (await clients.store.scenes(video_id, 1000)).items:
            thumbnail = await clients.store.thumbnail(video_id, scene.ordinal)
            middle_ns = (scene.segment.start_ns + scene.segment.end_ns) // 2
            nearest = min(scene.samples, key=lambda sample: abs(sample.offset_ns - middle_ns))
            assert thumbnail.offset_ns == nearest.offset_ns
            with av.open(io.BytesIO(thumbnail.image)) as image:
                (frame,) = image.decode(video=0)
            assert min(frame.width, frame.height) == 224


@pytest.mark.parametrize(("text", "name"), EXPECTED.items(), ids=EXPECTED.values())
async def test_the_video_that_is_described_is_first(
    clients: Clients, indexed: dict[str, str], text: str, name: str
) -> None:
    results = await clients.search.search_videos(text, VideoRanking())
    assert results.hits[0].video.video_id == indexed[name]
    assert len(results.hits) == len(indexed)


async def test_a_filter_by_metadata_leaves_only_what_it_matches(clients: Clients, indexed: dict[str, str]) -> None:
    ranking = VideoRanking(video_filter=VideoFilter(metadata={"name": "carphone.mp4"}))
    results = await clients.search.search_videos("a cartoon rabbit", ranking)
    assert [hit.video.video_id for hit in results.hits] == [indexed["carphone.mp4"]]


async def test_the_scene_that_is_described_is_first_with_its_exact_span(
    clients: Clients, indexed: dict[str, str], samples: dict[str, Path], folder: Path
) -> None:
    film = _joined(samples, folder / "joined.mp4")
    job = await clients.index(film, video_id="joined")
    assert job.state is JobState.SUCCEEDED, job.error
    ranking = SceneRanking(video_filter=VideoFilter(frozenset({"joined"})))
    part_ns = nanoseconds(Fraction(PART.stop - PART.start, FPS))
    for position, text in enumerate(EXPECTED):
        (best, *_) = (await clients.search.search_scenes(text, ranking)).hits
        assert best.segment == Segment(position * part_ns, (position + 1) * part_ns)
        assert best.segment.start_ns <= best.best_offset_ns < best.segment.end_ns
    await clients.store.delete_video("joined")


async def test_the_command_line_finds_what_the_services_know(system: Stack, indexed: dict[str, str]) -> None:
    arguments = ("-m", "cli", "search", "people riding bicycles in the city", "--json")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=pipe, env=system.environment)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(output)["hits"][0]["video"]["video_id"] == indexed["bikes.mp4"]


async def test_a_killed_indexer_finishes_its_jobs_when_it_is_back(
    clients: Clients, system: Stack, folder: Path
) -> None:
    film = write_video(folder / "long.mp4", [100] * 30, size=(640, 360))
    job = await clients.indexer.index_video(str(film.path), video_id="long")
    indexer = system.services["indexer"]
    children = await _until_decoding(clients, job.job_id, indexer.process.pid)
    await indexer.kill()
    await indexer.start()
    await indexer.ready()
    ended = await clients.end_of(job.job_id)
    assert ended.state is JobState.SUCCEEDED, ended.error
    assert (await clients.store.video("long")).scene_count == 30
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
    assert alive == [], "the decoding process outlives its parent"
    await clients.store.delete_video("long")


async def test_memory_does_not_grow_with_the_length_of_a_video(clients: Clients, system: Stack, folder: Path) -> None:
    peaks = []
    for name, length in (("once", 30), ("twice", 60)):
        film = write_video(folder / f"{name}.mp4", [40] * length, size=(640, 360))
        with PeakMemory(system.services["indexer"].process.pid) as memory:
            assert (await clients.index(film.path, video_id=name)).state is JobState.SUCCEEDED
        peaks.append(memory.peak_bytes)
        await clients.store.delete_video(name)
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 600e6


async def test_search_says_which_peer_is_away_and_recovers(
    clients: Clients, indexed: dict[str, str], system: Stack
) -> None:
    store = system.services["store"]
    await store.kill()
    with pytest.raises(UnavailableError, match=f"StoreService at {store.address}"):
        await clients.search.search_videos("rabbit", VideoRanking())
    await store.start()
    await store.ready()
    await system.services["search"].ready()
    results = await clients.search.search_videos("a cartoon rabbit in a meadow", VideoRanking())
    assert results.hits[0].video.video_id == indexed["bigbuckbunny.mp4"]


async def _until_decoding(clients: Clients, job_id: str, pid: int) -> list[psutil.Process]:
    """The indexer's child processes, once a job's decoding is under way."""
    async for state in clients.indexer.watch_job(job_id):
        if state.stage is JobStage.INDEXING and state.scene_count:
            break
    return psutil.Process(pid).children()


def _joined(samples: dict[str, Path], path: Path) -> Path:
    """A film of a part of each sample, in the order of EXPECTED, cut hard."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        count = 0
        for name in EXPECTED.values():
            with av.open(samples[name]) as source:
                for frame in islice(source.decode(video=0), PART.start, PART.stop):
                    scaled = frame.reformat(640, 360, "yuv420p")
                    scaled.pts, scaled.time_base = count, Fraction(1, FPS)
                    container.mux(stream.encode(scaled))
                    count += 1
        container.mux(stream.encode())
    return path
