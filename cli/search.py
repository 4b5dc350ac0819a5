"""`videosearch search`."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer

from cli import output
from cli.metadata import metadata_of
from cli.settings import Addresses
from services.common.clients.search import SearchClient
from services.common.errors import InvalidInputError
from services.common.media import SceneHit, SceneScoring, VideoFilter, VideoHit, VideoScoring
from services.common.ranking import RankedScenes, RankedVideos, SceneRanking, VideoRanking

COLUMNS = ("rank", "score", "video", "scene", "best moment")
NUMBERS = ("rank", "score")


def search(  # noqa: PLR0913 - a parameter is an option of the command
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to find, in words.")],
    *,
    top_k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many results.")] = 10,
    scenes: Annotated[bool, typer.Option("--scenes", help="Rank scenes instead of videos.")] = False,
    scenes_per_video: Annotated[
        int | None,
        typer.Option(min=0, max=1000, help="Most scenes of one video.", show_default="3; with --scenes no limit"),
    ] = None,
    video: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this video. May be repeated.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only videos that have this. May be repeated.")
    ] = None,
    scene_scoring: Annotated[
        SceneScoring, typer.Option(help="A scene's score: of its best sampled frame, their mean, or one between.")
    ] = SceneScoring.BEST,
    video_scoring: Annotated[
        VideoScoring | None,
        typer.Option(help="A video's score: of its best scene, or the mean over all.", show_default="best"),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Find videos, or scenes, by describing them."""
    video_filter = VideoFilter(frozenset(video or ()), metadata_of(meta))
    results: RankedVideos | RankedScenes
    if scenes:
        if video_scoring:
            raise InvalidInputError("--video-scoring ranks videos: leave it out with --scenes")
        results = asyncio.run(_search_scenes(text, SceneRanking(top_k, scenes_per_video, video_filter, scene_scoring)))
    else:
        per_video = VideoRanking().scenes_per_video if scenes_per_video is None else scenes_per_video
        scoring = video_scoring or VideoScoring.BEST
        ranking = VideoRanking(top_k, per_video, video_filter, scene_scoring, video_scoring=scoring)
        results = asyncio.run(_search_videos(text, ranking))
    _print(results, as_json=as_json)


async def _search_videos(text: str, ranking: VideoRanking) -> RankedVideos:
    async with SearchClient(Addresses().search_address) as client:
        return await client.search_videos(text, ranking)


async def _search_scenes(text: str, ranking: SceneRanking) -> RankedScenes:
    async with SearchClient(Addresses().search_address) as client:
        return await client.search_scenes(text, ranking)


def _print(results: RankedVideos | RankedScenes, *, as_json: bool) -> None:
    if results.query_truncated:
        output.tell("The text is longer than the model reads: its end did not count.")
    if as_json:
        output.print_json(results)
    elif not results.hits:
        output.tell("Nothing found.")
    elif isinstance(results, RankedVideos):
        rows = [row for rank, hit in enumerate(results.hits, 1) for row in _video_rows(rank, hit)]
        output.print_table(COLUMNS, rows, right=NUMBERS)
    else:
        labels = {video.video_id: output.label(video) for video in results.videos}
        rows = [_row(str(rank), hit, labels[hit.video_id]) for rank, hit in enumerate(results.hits, 1)]
        output.print_table(COLUMNS, rows, right=NUMBERS)


def _video_rows(rank: int, hit: VideoHit) -> Iterator[list[str]]:
    """A row for each scene. The first is the video's too, unless the video's score is not that scene's."""
    scenes = list(hit.scenes)
    if scenes and scenes[0].score == hit.score:
        yield _row(str(rank), scenes.pop(0), output.label(hit.video))
    else:
        yield [str(rank), _score(hit.score), output.label(hit.video), "", ""]
    for scene in scenes:
        yield _row("", scene, "")


def _row(rank: str, hit: SceneHit, label: str) -> list[str]:
    return [rank, _score(hit.score), label, output.span(hit.segment), output.timecode(hit.best_offset_ns)]


def _score(score: float) -> str:
    return f"{score:.3f}"
