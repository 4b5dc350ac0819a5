"""`python -m bench baseline`: the method that we grew from and ours, on the same video in the same run."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.baseline_method import Baseline, Clip
from bench.measure import PeakMemory, machine, median_of, median_of_async
from bench.random_clip import write_random_clip
from bench.system import indexed, running
from bench.videos import bench_video
from services.common.clients.indexer import IndexerClient
from services.common.clients.search import SearchClient
from services.common.ranking import VideoRanking
from tools.samples import ROOT

QUERY = "a rabbit in a meadow"
OUR_QUERIES = 50

RANDOM_CLIP = ROOT / ".cache" / "random-clip"
"""ViT-B/32 with random weights: no checkpoint can be shipped, and time does not depend on the weights."""


@dataclass(frozen=True, slots=True)
class Ours:
    index_s: float
    query_s: float
    scenes: int
    rss_peak_mb: float
    """Most memory of the indexer and its decoding process together."""


def baseline(model: str) -> dict[str, Any]:
    """Time both; `model` is ours, the baseline always runs ViT-B/32."""
    video = bench_video()
    if not RANDOM_CLIP.exists():
        write_random_clip(RANDOM_CLIP)
    ours = asyncio.run(_ours(video, model))
    theirs = _theirs(video)
    return {
        **theirs,
        "scenes": ours.scenes,
        "ours_index_s": round(ours.index_s, 2),
        "ours_query_s": round(ours.query_s, 4),
        "indexer_rss_peak_mb": round(ours.rss_peak_mb, 1),
        "video": video.name,
        "model": model,
        "baseline_model": "ViT-B/32 size, random weights",
        "machine": str(machine()),
    }


def _theirs(video: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Baseline(Clip.load(RANDOM_CLIP), Path(folder)) as method:
        index_s = median_of(lambda: method.index(video), runs=1)
        query_s = median_of(lambda: method.search(QUERY, top_n=5), runs=1)
    return {"baseline_index_s": round(index_s, 2), "baseline_query_s": round(query_s, 2)}


async def _ours(video: Path, model: str) -> Ours:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            running(Path(folder), model, video.parent) as stack,
            IndexerClient(stack.addresses["indexer"]) as client,
        ):
            with PeakMemory(stack.services["indexer"].process.pid) as memory:
                index_s, scenes = await indexed(client, video)
            async with SearchClient(stack.addresses["search"]) as search:
                query_s = await median_of_async(lambda: search.search_videos(QUERY, VideoRanking()), OUR_QUERIES)
    return Ours(index_s, query_s, scenes, memory.peak_bytes / 1e6)
