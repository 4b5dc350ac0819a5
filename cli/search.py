"""`videosearch search`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cli import hits, narrow, output
from cli.pages import collect
from cli.settings import Services
from cli.wanted import Image, Like, Texts, refusals_named, wanted
from services.common.convert.ranking import MAX_SCENES_PER_VIDEO
from services.common.errors import InvalidInputError
from services.common.media import SceneScoring, VideoScoring
from services.common.ranking import Description, RankedScenes, RankedVideos, SceneRanking, VideoRanking

PANEL = "Ranking"

Ranking = TypeVar("Ranking", SceneRanking, VideoRanking)
Ranked = TypeVar("Ranked", RankedScenes, RankedVideos)


def search(  # noqa: PLR0913 - a parameter is an option of the command
    texts: Texts = None,
    *,
    images: Image = None,
    likes: Like = None,
    top_k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 10,
    skip: Annotated[int, typer.Option(min=0, metavar="COUNT", help="Leave out the first results.")] = 0,
    scenes: Annotated[bool, typer.Option("--scenes", help="Rank scenes instead of videos.")] = False,
    scenes_per_video: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_SCENES_PER_VIDEO, help="Most scenes of one video.", show_default="3; with --scenes no limit"
        ),
    ] = None,
    video: narrow.Video = None,
    meta: narrow.Meta = None,
    min_length: narrow.MinLength = None,
    max_length: narrow.MaxLength = None,
    indexed_since: narrow.IndexedSince = None,
    indexed_before: narrow.IndexedBefore = None,
    where: narrow.Where = None,
    window: narrow.Window = None,
    min_score: narrow.MinScore = None,
    cutoff: narrow.Cutoff = None,
    distinct: narrow.Distinct = None,
    scene_scoring: Annotated[
        SceneScoring,
        typer.Option(help="A scene's score: of its best sampled frame, their mean, or between.", rich_help_panel=PANEL),
    ] = SceneScoring.BEST,
    temperature: Annotated[
        float | None,
        typer.Option(help="For softmax: low is near best, high near mean.", show_default="0.01", rich_help_panel=PANEL),
    ] = None,
    video_scoring: Annotated[
        VideoScoring | None,
        typer.Option(
            help="A video's score: of its best scene, or the mean over its best or over all.",
            show_default="best",
            rich_help_panel=PANEL,
        ),
    ] = None,
    top_scenes: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            max=MAX_SCENES_PER_VIDEO,
            help="For top-mean: how many.",
            show_default="3",
            rich_help_panel=PANEL,
        ),
    ] = None,
    merge: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Make one hit of scenes that touch and score this share of the best of them.",
            rich_help_panel=PANEL,
        ),
    ] = None,
    include_named: Annotated[
        bool, typer.Option("--include-named", help="Find what --like names, too.", rich_help_panel=PANEL)
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with pictures, too.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """Find videos, or scenes, by describing them: in words, by pictures, or by what is indexed already."""
    _check_scoring(scene_scoring, temperature, video_scoring, top_scenes, scenes=scenes)
    conditions = (narrow.length(min_length, max_length), narrow.index_time(indexed_since, indexed_before))
    asked: dict[str, Any] = {
        "top_k": top_k,
        "scenes_per_video": scenes_per_video,
        "video_filter": narrow.filter_of(video, meta, *conditions, narrow.condition(where)),
        "scene_scoring": scene_scoring,
        "softmax_temperature": temperature,
        "video_scoring": video_scoring,
        "top_scene_count": top_scenes,
        "time_window": narrow.window(window),
        "min_score": min_score,
        "relative_cutoff": cutoff,
        "merge_ratio": merge,
        "duplicate_similarity": distinct,
        "include_named": include_named,
        "include_thumbnails": html is not None,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    ranking = SceneRanking(**given) if scenes else VideoRanking(**given)
    with refusals_named(texts, images, likes):
        results = asyncio.run(_search(wanted(texts, images, likes), ranking, skip, html))
    hits.show(results, skipped=skip, as_json=as_json)


def _check_scoring(
    scene_scoring: SceneScoring,
    temperature: float | None,
    video_scoring: VideoScoring | None,
    top_scenes: int | None,
    *,
    scenes: bool,
) -> None:
    """What would not count is refused."""
    if scenes and video_scoring:
        raise InvalidInputError("--video-scoring ranks videos: leave it out with --scenes")
    if temperature is not None and scene_scoring is not SceneScoring.SOFTMAX:
        raise InvalidInputError("--temperature is for --scene-scoring softmax")
    if top_scenes is not None and video_scoring is not VideoScoring.TOP_MEAN:
        raise InvalidInputError("--top-scenes is for --video-scoring top-mean")


async def _search(
    description: Description, ranking: SceneRanking | VideoRanking, skip: int, html: Path | None
) -> RankedVideos | RankedScenes:
    async with Services().search() as client:
        results: RankedVideos | RankedScenes
        if isinstance(ranking, VideoRanking):
            results = await _ranked(partial(client.search_videos, description), ranking, skip)
        else:
            results = await _ranked(partial(client.search_scenes, description), ranking, skip)
        if html:
            from cli import report

            await report.write(html, client, description, results, skip)
        return results


async def _ranked(ask: Callable[[Ranking], Awaitable[Ranked]], ranking: Ranking, skip: int) -> Ranked:
    """The hits after the first `skip`, from as many answers as that takes; they are of one ranking."""
    answers: list[Ranked] = []

    async def page(size: int, cursor: str) -> tuple[Sequence[Any], str]:
        answer = await ask(replace(ranking, top_k=size, cursor=cursor))
        answers.append(answer)
        return answer.hits, answer.next_cursor

    found = await collect(page, skip + ranking.top_k)
    return _joined(answers, found[skip:])


def _joined(answers: Sequence[Ranked], found: Sequence[Any]) -> Ranked:
    """One answer that has these hits of some that went on from each other."""
    last = answers[-1]
    filtered = replace(
        last.filtered,
        low_score_count=sum(answer.filtered.low_score_count for answer in answers),
        duplicate_count=sum(answer.filtered.duplicate_count for answer in answers),
    )
    if isinstance(last, RankedVideos):
        return replace(last, hits=tuple(found), filtered=filtered)
    videos = {video.video_id: video for answer in answers for video in answer.videos}
    its_videos = tuple(videos[video_id] for video_id in dict.fromkeys(hit.video_id for hit in found))
    return replace(last, hits=tuple(found), videos=its_videos, filtered=filtered)
