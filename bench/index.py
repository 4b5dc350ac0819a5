"""`python -m bench index`: how near indexing comes to what decoding and embedding alone cost."""

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
from PIL import Image

from bench.measure import machine
from bench.random_clip import random_clip
from bench.system import indexed, indexed_at_once, running
from bench.videos import write_repeated
from services.common.media import Detection, Matrix
from services.embedder import process
from services.embedder.loading import Choice, load_encoders
from services.indexer.analysis import Analyzer, SampledScene, Task
from services.indexer.batches import BATCH
from services.indexer.pictures import Picture
from tools.samples import sample_videos

T = TypeVar("T")

ROUNDS = 3

AT_ONCE = (1, 2, 4)
"""Jobs at the same time."""

SHORT_VIDEOS, LONG_VIDEOS, LONG_REPEATS = 24, 4, 12
"""Videos of seconds, where starting is most of the work; and of a minute, where one keeps two cores busy."""


class Cost(NamedTuple):
    """What a part of the work takes by itself."""

    wall_s: float
    cpu_s: float


def index(model: str, video: Path) -> dict[str, Any]:
    """Figures for `model` at the top, the same for CLIP under "clip", and videos a minute with several jobs at once."""
    return {
        **_figures(model, video),
        "model": model,
        "clip": _figures(str(random_clip()), video),
        "videos_per_minute": _at_once(model),
        "rounds": ROUNDS,
        "video": video.name,
        "machine": machine(),
    }


def _figures(model: str, video: Path) -> dict[str, Any]:
    """Medians over rounds, each of which measures all three: the machine's speed may change in between."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.npz"
        _in_a_process(_write_pictures, model, video, pictures)
        decodings, embeddings, indexings = asyncio.run(_rounds(model, video, pictures))
    cores = len(os.sched_getaffinity(0))
    overheads = [
        indexing.seconds * cores / (decoding.cpu_s + embedding.cpu_s)
        for decoding, embedding, indexing in zip(decodings, embeddings, indexings, strict=True)
    ]
    return {
        "decode_only_s": _median(cost.wall_s for cost in decodings),
        "decode_only_cpu_s": _median(cost.cpu_s for cost in decodings),
        "embed_only_s": _median(cost.wall_s for cost in embeddings),
        "embed_only_cpu_s": _median(cost.cpu_s for cost in embeddings),
        "index_s": _median(indexing.seconds for indexing in indexings),
        "overhead": _median(overheads),
        "rss_peak_mb": max(indexing.rss_peak_mb for indexing in indexings),
        "video_s": round(_length_s(video), 2),
        "scenes": indexings[0].scenes,
    }


async def _rounds(model: str, video: Path, pictures: Path) -> tuple[list[Cost], list[Cost], list[Any]]:
    decodings, embeddings, indexings = [], [], []
    async with running(model, video.parent) as stack:
        for _ in range(ROUNDS):
            decodings.append(await asyncio.to_thread(_in_a_process, _decode, video))
            embeddings.append(await asyncio.to_thread(_in_a_process, _embed, model, pictures))
            indexings.append(await indexed(stack, video))
    return decodings, embeddings, indexings


def _at_once(model: str) -> dict[str, dict[str, float]]:
    """Videos indexed a minute, by how many jobs run at the same time."""
    samples = sample_videos()
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.mp4"
        write_repeated(samples[0], long, LONG_REPEATS)
        workloads = {"short": [samples[n % len(samples)] for n in range(SHORT_VIDEOS)], "long": [long] * LONG_VIDEOS}
        return {
            name: {str(jobs): asyncio.run(_per_minute(model, videos, jobs)) for jobs in AT_ONCE}
            for name, videos in workloads.items()
        }


async def _per_minute(model: str, videos: Sequence[Path], jobs: int) -> float:
    async with running(model, videos[0].parent, {"VIDEOSEARCH_INDEXER_MAX_RUNNING_JOBS": str(jobs)}) as stack:
        return round(60 * len(videos) / await indexed_at_once(stack, videos), 1)


def _in_a_process(work: Callable[..., T], *arguments: Any) -> T:
    """Do it in a process of its own, so that its CPU time is told apart and no other library's threads are there."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _decode(video: Path) -> Cost:
    """Decode to nothing, with threads as the indexer has them."""
    with av.open(video) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return _cost(lambda: [None for _ in container.decode(stream)])


def _write_pictures(model: str, video: Path, path: Path) -> None:
    """What indexing sends to the embedder."""
    task = Task(video, Detection(), load_encoders(Choice(model))[0].model.image_size)
    scenes = (event for event in Analyzer(task).events() if isinstance(event, SampledScene))
    np.savez(path, *[sample.picture for scene in scenes for sample in scene.samples])


def _embed(model: str, pictures: Path) -> Cost:
    """Prepare and embed the pictures in batches, once warm."""
    process.tune()
    encoder = load_encoders(Choice(model))[0]
    with np.load(pictures) as file:
        images = list(file.values())

    def embed(some: Sequence[Picture]) -> Matrix:
        return encoder.encode_images([encoder.prepare_image(Image.fromarray(image)) for image in some])

    batches = [images[first : first + BATCH] for first in range(0, len(images), BATCH)]
    embed(batches[0])
    return _cost(lambda: [embed(batch) for batch in batches])


def _cost(work: Callable[[], object]) -> Cost:
    begun_s, before_s = time.perf_counter(), _cpu_s()
    work()
    return Cost(time.perf_counter() - begun_s, _cpu_s() - before_s)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 2)


def _length_s(video: Path) -> float:
    with av.open(video) as container:
        return (container.duration or 0) / av.time_base
