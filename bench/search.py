"""`python -m bench search`: how fast, how rightly and in how much memory the store finds scenes, at several sizes."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from bench.clusters import MODEL, SCENES_PER_VIDEO, Clusters, fill
from bench.measure import machine, milliseconds, resident_bytes
from services.common import vectors
from services.common.clients.store import StoreClient
from services.common.media import Matrix, SceneHit, Vector, VideoFilter
from services.common.ranking import EmbeddingPart, Query, SceneRanking, VideoRanking
from services.store.candidates import EXACT_SAMPLES
from services.store.catalog import Catalog
from services.store.index import Index
from services.store.queries import find_scenes
from tools.stack import Service, free_addresses

QUERIES = 100
"""Of each kind."""

PUTS = 30
QPS_S = 4.0
WARM_UP = 20
ALL = VideoFilter()
FILTERS: Mapping[str, VideoFilter] = {
    "tenth": VideoFilter(metadata={"tenth": "yes"}),
    "hundredth": VideoFilter(metadata={"hundredth": "yes"}),
}


def search(sizes: Sequence[int]) -> dict[str, Any]:
    """Sizes are numbers of scenes, three samples each."""
    return {"sizes": {str(size): _figures(size) for size in sizes}, "machine": machine()}


def _figures(scene_count: int) -> dict[str, Any]:
    clusters = Clusters(scene_count)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), clusters.videos(scene_count))
        near = clusters.near(QUERIES)
        queries = {"near": near, "far": clusters.far(near)}
        inside = _in_process(Path(folder), clusters, queries)
        return inside | asyncio.run(_as_a_service(Path(folder), queries, 3 * scene_count))


def _in_process(folder: Path, clusters: Clusters, queries: Mapping[str, Matrix]) -> dict[str, Any]:
    with Catalog(folder) as catalog:
        build_s = _accelerated(catalog)
        index = catalog.index
        exact = replace(index, accelerated=None)
        near = queries["near"]
        times = _times(_finder(catalog), near)
        filtered = {name: _times(_finder(catalog, only), near) for name, only in FILTERS.items()}
        return {
            "build_s": round(build_s, 1),
            "p50_ms": milliseconds(times, 50),
            "p95_ms": milliseconds(times, 95),
            "far_p50_ms": milliseconds(_times(_finder(catalog), queries["far"]), 50),
            "exact_p50_ms": milliseconds(
                _times(lambda query: find_scenes(exact, query, SceneRanking()), near[::5]), 50
            ),
            "filtered_p50_ms": milliseconds(filtered["tenth"], 50),
            "filtered_hundredth_p50_ms": milliseconds(filtered["hundredth"], 50),
            "videos_p50_ms": milliseconds(_times(lambda query: catalog.find_videos(query, VideoRanking()), near), 50),
            **_recalls(index, exact, queries),
            **_changes(catalog, clusters),
        }


def _accelerated(catalog: Catalog) -> float:
    """Seconds until the approximate index is there; 0 if the store is too small for one."""
    begun = time.perf_counter()
    if catalog.stats().sample_count < EXACT_SAMPLES:
        return 0.0
    while not catalog.stats().approximate_sample_count:
        time.sleep(0.1)
    return time.perf_counter() - begun


def _recalls(index: Index, exact: Index, queries: Mapping[str, Matrix]) -> dict[str, Any]:
    """Of the ten best, how many are found; the figure that counts is the lowest of the kinds."""
    recalls = {}
    for kind, matrix in queries.items():
        for name, only in {"all": ALL, **FILTERS}.items():
            ranking = SceneRanking(video_filter=only)
            found = [_ten(index, vector, ranking) & _ten(exact, vector, ranking) for vector in matrix]
            recalls[f"{kind}_{name}"] = round(sum(map(len, found)) / (10 * len(matrix)), 4)
    return {"recall_at_10": min(recalls.values()), "recalls": recalls}


def _ten(index: Index, vector: Vector, ranking: SceneRanking) -> set[tuple[str, int]]:
    hits: Sequence[SceneHit] = find_scenes(index, _query(vector), ranking).hits
    return {(hit.video_id, hit.ordinal) for hit in hits}


def _changes(catalog: Catalog, clusters: Clusters) -> dict[str, float]:
    """Synced puts one after the other, each seen by a search at once, and so is the deletion."""
    videos = [clusters.video(number, f"put{number}") for number in range(PUTS)]
    put_s, seen_s, gone_s = [], [], []
    for indexed in videos:
        begun = time.perf_counter()
        catalog.put(indexed)
        put_s.append(time.perf_counter() - begun)
        _expect(catalog, indexed.embeddings[0], indexed.video.video_id, there=True)
        seen_s.append(time.perf_counter() - begun)
    for indexed in videos:
        begun = time.perf_counter()
        catalog.delete(indexed.video.video_id)
        _expect(catalog, indexed.embeddings[0], indexed.video.video_id, there=False)
        gone_s.append(time.perf_counter() - begun)
    return {
        "insert_per_s": round(PUTS / sum(put_s), 1),
        "insert_scenes_per_s": round(PUTS * SCENES_PER_VIDEO / sum(put_s)),
        "seen_after_insert_ms": milliseconds(seen_s, 50),
        "gone_after_delete_ms": milliseconds(gone_s, 50),
    }


def _expect(catalog: Catalog, vector: Any, video_id: str, *, there: bool) -> None:
    first = catalog.find_scenes(_query(vectors.normalize(vector)), SceneRanking(top_k=1)).hits[0]
    if (first.video_id == video_id) is not there:
        raise AssertionError(f"video {video_id} is {'not ' * there}found")


async def _as_a_service(folder: Path, queries: Mapping[str, Matrix], sample_count: int) -> dict[str, Any]:
    address = free_addresses()["store"]
    settings = {"VIDEOSEARCH_STORE_LISTEN": address, "VIDEOSEARCH_STORE_DATA_FOLDER": str(folder)}
    service = Service("store", address, settings, log=lambda _name, _line: None)
    begun = time.perf_counter()
    await service.start()
    try:
        await service.ready(timeout_s=600)
        load_s = time.perf_counter() - begun
        async with StoreClient(address) as client:
            every = [_query(vector) for vector in queries["near"]]
            times = [await _timed(client, query) for query in every]
            qps = {str(callers): await _per_second(client, every, callers) for callers in (1, 8, 32)}
            rss = resident_bytes(psutil.Process(service.process.pid))
    finally:
        await service.stop(grace_s=60)
    return {
        "load_s": round(load_s, 2),
        "rss_mb": round(rss / 1e6),
        "bytes_per_vector": round(rss / sample_count),
        "grpc_p50_ms": milliseconds(times, 50),
        "qps": qps,
    }


async def _timed(client: StoreClient, query: Query) -> float:
    begun = time.perf_counter()
    await client.find_scenes(query, _ranking_made_anew())
    return time.perf_counter() - begun


def _ranking_made_anew() -> SceneRanking:
    """Another one each time: what was asked before would be answered from memory."""
    return SceneRanking(min_score=-1 - time.monotonic() * 1e-9)


async def _per_second(client: StoreClient, queries: Sequence[Query], callers: int) -> float:
    begun, answered = time.perf_counter(), 0

    async def call(number: int) -> None:
        nonlocal answered
        while time.perf_counter() - begun < QPS_S:
            await client.find_scenes(queries[(number + answered) % len(queries)], _ranking_made_anew())
            answered += 1

    await asyncio.gather(*map(call, range(callers)))
    return round(answered / (time.perf_counter() - begun), 1)


def _finder(catalog: Catalog, only: VideoFilter = ALL) -> Callable[[Query], object]:
    return lambda query: catalog.find_scenes(query, SceneRanking(video_filter=only))


def _times(find: Callable[[Query], object], matrix: Matrix) -> list[float]:
    queries = [_query(vector) for vector in matrix]
    for query in queries[:WARM_UP]:
        find(query)
    times = []
    for query in queries:
        begun = time.perf_counter()
        find(query)
        times.append(time.perf_counter() - begun)
    return times


def _query(vector: Vector) -> Query:
    return (EmbeddingPart(vector, MODEL),)
