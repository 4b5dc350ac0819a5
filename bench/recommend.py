"""`python -m bench recommend`: recommendations among made-up genres, for tastes that are known."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from bench.clusters import SCENES_PER_VIDEO, Clusters, fill
from bench.measure import machine
from services.common import vectors
from services.common.clients.search import SearchClient
from services.common.media import Matrix, Vector
from services.common.ranking import VideoPart, VideoRanking
from services.store.scenes import IndexedVideo
from tools.stack import Service, free_addresses

GENRES, VIDEOS = 100, 20
"""Videos of each genre. Genres come in pairs of siblings: 0 and 1, 2 and 3, and so on."""

SIBLING, OWN, STRAY = 0.5, 0.5, 0.3
"""Lengths of what differs between siblings, between videos of a genre and between scenes of a video; and the part of a
video's scenes that are of any genre."""

TASTES = 50
DIVERSITIES = (0.0, 0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True)
class Answer:
    wanted: frozenset[int]
    """The genres that are liked."""
    found: tuple[str, ...]
    """Ids of videos."""
    seconds: float

    def precision(self) -> float:
        return sum(_genre(video_id) in self.wanted for video_id in self.found) / len(self.found)

    def lesser_share(self) -> float:
        """The part that the genre has which is found least."""
        genres = [_genre(video_id) for video_id in self.found]
        return min(genres.count(genre) for genre in self.wanted) / len(self.found)


def recommend() -> dict[str, Any]:
    genres = Genres()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), genres.videos())
        figures = asyncio.run(_figures(Path(folder), genres.means))
    return {**figures, "videos": GENRES * VIDEOS, "scenes": GENRES * VIDEOS * SCENES_PER_VIDEO, "machine": machine()}


class Genres:
    """Videos around the centers of their genres."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._clusters = Clusters(GENRES * VIDEOS * SCENES_PER_VIDEO)
        firsts = self._clusters.scenes(GENRES // 2)
        pairs = np.stack((firsts, firsts + self._clusters.noise(len(firsts), SIBLING)), axis=1)
        self._centers = vectors.normalize(pairs.reshape(GENRES, -1))  # (G, D)
        self.means: dict[str, Vector] = {}
        """Of each video made."""

    def videos(self) -> Iterator[IndexedVideo]:
        return map(self._video, range(GENRES * VIDEOS))

    def _video(self, number: int) -> IndexedVideo:
        made = self._clusters.video(number, _video_id(number // VIDEOS, number % VIDEOS))
        embeddings = self._clusters.samples(self._scenes(number // VIDEOS))
        self.means[made.video.video_id] = vectors.normalize(embeddings.mean(axis=0, dtype=np.float64))
        return replace(made, embeddings=embeddings)

    def _scenes(self, genre: int) -> Matrix:
        genres = np.full(SCENES_PER_VIDEO, genre)
        stray = self._random.random(SCENES_PER_VIDEO) < STRAY
        genres[stray] = self._random.integers(0, GENRES, np.count_nonzero(stray))
        own = self._clusters.noise(1, OWN) + self._clusters.noise(SCENES_PER_VIDEO, OWN)  # (1, D) + (S, D)
        return vectors.normalize(self._centers[genres] + own)


async def _figures(folder: Path, means: Mapping[str, Vector]) -> dict[str, Any]:
    async with _searching(folder) as client:
        liking = {count: [await _asked(client, [genre], count) for genre in range(TASTES)] for count in (1, 3, 10)}
        disliking = [await _asked(client, [genre], 3, disliked=genre ^ 1) for genre in range(TASTES)]
        pairs = [[genre, genre + GENRES // 2] for genre in range(0, TASTES, 2)]
        diverse = {of: [await _asked(client, pair, 3, diversity=of) for pair in pairs] for of in DIVERSITIES}
    return {
        "p50_ms": round(median(answer.seconds for answer in liking[3]) * 1000, 2),
        "precision_at_10": {f"{count}_liked": _precision(answers) for count, answers in liking.items()}
        | {"3_liked_3_siblings_disliked": _precision(disliking)},
        "two_genres_liked": {f"diversity_{of}": _spread(answers, means) for of, answers in diverse.items()},
    }


def _precision(answers: Sequence[Answer]) -> float:
    return round(fmean(answer.precision() for answer in answers), 3)


def _spread(answers: Sequence[Answer], means: Mapping[str, Vector]) -> dict[str, float]:
    cosines = [float(means[a] @ means[b]) for answer in answers for a, b in combinations(answer.found, 2)]
    return {
        "precision_at_10": _precision(answers),
        "share_of_lesser_genre": round(fmean(answer.lesser_share() for answer in answers), 3),
        "mean_cosine_between_hits": round(fmean(cosines), 3),
    }


@asynccontextmanager
async def _searching(folder: Path) -> AsyncIterator[SearchClient]:
    """The store of that folder and search before it; recommendations need no embedder."""
    addresses = free_addresses()
    environment = {f"VIDEOSEARCH_{name.upper()}_{end}": at for name, at in addresses.items() for end in _ENDS}
    environment["VIDEOSEARCH_STORE_DATA_FOLDER"] = str(folder)
    services = [Service(name, addresses[name], environment, log=lambda _n, _l: None) for name in ("store", "search")]
    try:
        for service in services:
            await service.start()
        await services[0].ready(timeout_s=600)
        async with SearchClient(addresses["search"]) as client:
            await client.recommend_videos([VideoPart(_video_id(0, 0))], [], VideoRanking())
            yield client
    finally:
        for service in services:
            await service.stop()


_ENDS = ("ADDRESS", "LISTEN")


async def _asked(
    client: SearchClient, genres: Sequence[int], count: int, *, disliked: int | None = None, diversity: float = 0.0
) -> Answer:
    """So many videos are liked of each genre, and as many disliked of one."""
    liked = [VideoPart(_video_id(genre, place)) for genre in genres for place in range(count)]
    avoided = [] if disliked is None else [VideoPart(_video_id(disliked, place)) for place in range(count)]
    begun = time.perf_counter()
    found = await client.recommend_videos(liked, avoided, VideoRanking(diversity=diversity))
    seconds = time.perf_counter() - begun
    return Answer(frozenset(genres), tuple(hit.video.video_id for hit in found.hits), seconds)


def _video_id(genre: int, place: int) -> str:
    return f"g{genre:03}-{place:02}"


def _genre(video_id: str) -> int:
    return int(video_id[1:4])
