"""How often a caption finds its own among photographs or videos: recall at 1, 5 and 10, and the median rank."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.measure import machine
from services.common import vectors
from services.common.media import Matrix
from services.embedder.encoder import Encoder
from services.embedder.loading import Choice, load_encoders
from services.indexer.frames import Film
from services.indexer.limits import Limits
from services.indexer.pictures import Pictures
from tools.photographs import read_photographs, split

SAMPLES = 6
"""Frames a video, from the middles of as many parts of it."""

TEMPERATURE = 0.1
"""Of the weights of "softmax": Bain et al., 2022, https://arxiv.org/abs/2205.08508."""

BATCH = 16

Scoring: TypeAlias = Callable[[Matrix, Matrix], Matrix]
"""Queries (Q, D) and one item's samples (S, D) to scores (Q,)."""


def best(queries: Matrix, samples: Matrix) -> Matrix:
    scores: Matrix = (queries @ samples.T).max(axis=1)
    return scores


def mean(queries: Matrix, samples: Matrix) -> Matrix:
    """The cosine with the samples' mean."""
    return queries @ vectors.normalize(samples.mean(axis=0))


def softmax(queries: Matrix, samples: Matrix) -> Matrix:
    """The mean of the samples' scores, each weighted by how well it fits the query."""
    scores = queries @ samples.T  # (Q, S)
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / TEMPERATURE)
    return np.average(scores, axis=1, weights=weights)


SCORINGS: Mapping[str, Scoring] = {"mean": mean, "best": best, "softmax": softmax}


def retrieval(model: str, photographs: Path | None = None, videos: Path | None = None) -> dict[str, Any]:
    """A row of figures for photographs, and one a scoring for videos.

    Of photographs, in the layout of `tools.photographs`, the held-out ones are searched, by all of their captions.
    Videos lie beside a `captions.json`, a list of {file, caption}.
    """
    (encoder,) = load_encoders(Choice(model, "cpu", "torch", "float32"))
    rows = []
    if photographs:
        held_out = split(read_photographs(photographs)).held_out
        samples = [embedded(encoder, [photograph.picture()]) for photograph in held_out]
        captions = [(number, text) for number, photograph in enumerate(held_out) for text in photograph.captions]
        rows += _rows("photographs", encoder, samples, captions, {"single": mean})
    if videos:
        entries = json.loads((videos / "captions.json").read_text("utf-8"))
        files = sorted({entry["file"] for entry in entries})
        samples = [embedded(encoder, sampled_frames(videos / file, encoder.model.image_size)) for file in files]
        captions = [(files.index(entry["file"]), entry["caption"]) for entry in entries]
        rows += _rows("videos", encoder, samples, captions, SCORINGS)
    return {"machine": machine(), "model": model, "rows": rows}


def sampled_frames(video: Path, shorter_side: int) -> list[Image.Image]:
    """At most SAMPLES, in one pass: what is shown at the middle of each part, going by the container's duration."""
    film = Film(video, Limits().frame_pixels)
    try:
        pictures = Pictures(shorter_side, film.pixel_aspect)
        duration_ns = film.info.duration_ns or 0
        middles_ns = deque(duration_ns * (2 * part + 1) // (2 * SAMPLES) for part in range(SAMPLES))
        samples = []
        for frame in film.frames():
            if middles_ns and frame.end_ns > middles_ns[0]:
                samples.append(Image.fromarray(pictures.sample(frame.picture)))
            while middles_ns and frame.end_ns > middles_ns[0]:
                middles_ns.popleft()
        return samples
    finally:
        film.close()


def embedded(encoder: Encoder, pictures: Sequence[Image.Image]) -> Matrix:
    """(N, D)."""
    return encoder.encode_images([encoder.prepare_image(picture) for picture in pictures])


def _rows(
    of: str,
    encoder: Encoder,
    items: Sequence[Matrix],
    captions: Sequence[tuple[int, str]],
    scorings: Mapping[str, Scoring],
) -> list[dict[str, Any]]:
    """Figures of captions that rank all items, each caption with the number of its own."""
    numbers, texts = zip(*captions, strict=True)
    prepared = [encoder.prepare_text(text).inputs for text in texts]
    queries = np.concatenate([encoder.encode_texts(prepared[i : i + BATCH]) for i in range(0, len(texts), BATCH)])
    rows = []
    for ranking, scoring in scorings.items():
        scores = np.stack([scoring(queries, samples) for samples in items], axis=1)  # (captions, items)
        rows.append({"of": of, "ranking": ranking, **figures(scores, np.array(numbers))})
    return rows


def figures(scores: Matrix, own: NDArray[np.int64]) -> dict[str, float]:
    """Recalls in percent, of scores (Q, N) and the number of each query's own item: (Q,)."""
    ranks = (scores >= scores[np.arange(len(own)), own][:, np.newaxis]).sum(axis=1)  # from 1; ties count against us
    recalls = {f"r{most}": round(100 * float((ranks <= most).mean()), 1) for most in (1, 5, 10)}
    return {**recalls, "median_rank": float(np.median(ranks)), "n": len(ranks)}
