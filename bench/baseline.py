"""`python -m bench baseline`: the method that we grew from and ours, on the same video in the same run."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from bench.baseline_method import Baseline, Clip
from bench.measure import machine, median_of
from bench.random_clip import RANDOM_CLIP, random_clip
from bench.system import indexed, running
from services.common.clients.search import SearchClient
from services.common.ranking import VideoRanking

QUERY = "a rabbit in a meadow"
OUR_INDEX_RUNS, OUR_QUERY_RUNS = 3, 50
BASELINE_RUNS = 1
"""Of indexing and of the query: both are too slow on a long video to be repeated."""


def baseline(model: str, video: Path, clip: Path | None = None) -> dict[str, Any]:
    """Time both; `model` is ours, the folder `clip` the baseline's, if it is not to be RANDOM_CLIP."""
    return {
        **asyncio.run(_ours(model, video)),
        **asyncio.run(_theirs(clip or random_clip(), video)),
        "video": video.name,
        "model": model,
        "machine": machine(),
    }


async def _ours(model: str, video: Path) -> dict[str, Any]:
    async with running(model, video.parent) as stack:
        indexing = await indexed(stack, video, OUR_INDEX_RUNS)
        async with SearchClient(stack.addresses["search"]) as search:
            query_s = await median_of(lambda: search.search_videos(QUERY, VideoRanking()), OUR_QUERY_RUNS)
    return {
        "scenes": indexing.scenes,
        "ours_index_s": round(indexing.seconds, 2),
        "ours_index_runs": OUR_INDEX_RUNS,
        "ours_query_s": round(query_s, 4),
        "ours_query_runs": OUR_QUERY_RUNS,
        "indexer_rss_peak_mb": indexing.rss_peak_mb,
    }


async def _theirs(clip: Path, video: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, Baseline(Clip.load(clip), Path(folder)) as method:
        index_s = await median_of(lambda: asyncio.to_thread(method.index, video), BASELINE_RUNS)
        query_s = await median_of(lambda: asyncio.to_thread(method.search, QUERY, top_n=5), BASELINE_RUNS)
    return {
        "baseline_index_s": round(index_s, 2),
        "baseline_query_s": round(query_s, 2),
        "baseline_runs": BASELINE_RUNS,
        "baseline_model": "ViT-B/32 size, random weights" if clip == RANDOM_CLIP else str(clip),
    }
