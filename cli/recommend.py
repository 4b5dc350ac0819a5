"""`videosearch recommend`."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import hits, narrow, output
from cli.settings import Services
from cli.wanted import stored
from services.common.convert.ranking import MAX_SCENES_PER_VIDEO
from services.common.ranking import RankedVideos, StoredPart, VideoRanking


def recommend(  # noqa: PLR0913 - a parameter is an option of the command
    *,
    likes: Annotated[
        list[str],
        typer.Option(
            "--like",
            metavar="VIDEO",
            help="A video, or a moment (VIDEO@1:02.5) or scene of it (VIDEO#3), that is liked. May be repeated.",
        ),
    ],
    unlikes: Annotated[
        list[str] | None, typer.Option("--unlike", metavar="VIDEO", help="One that is not. May be repeated.")
    ] = None,
    top_k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many results.")] = 10,
    scenes_per_video: Annotated[
        int, typer.Option(min=0, max=MAX_SCENES_PER_VIDEO, help="Most scenes of one video.")
    ] = 3,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="How much a video counts for being unlike those before it.")
    ] = 0.0,
    video: narrow.Video = None,
    meta: narrow.Meta = None,
    min_length: narrow.MinLength = None,
    max_length: narrow.MaxLength = None,
    indexed_since: narrow.IndexedSince = None,
    indexed_before: narrow.IndexedBefore = None,
    where: narrow.Where = None,
    distinct: narrow.Distinct = None,
    as_json: output.AsJson = False,
) -> None:
    """Find videos like those that are liked, and unlike those that are not; none of these themselves."""
    conditions = (narrow.length(min_length, max_length), narrow.index_time(indexed_since, indexed_before))
    ranking = VideoRanking(
        top_k,
        scenes_per_video,
        narrow.filter_of(video, meta, *conditions, narrow.condition(where)),
        duplicate_similarity=distinct,
        diversity=diversity,
    )
    liked = [stored(like, 1.0, "--like") for like in likes]
    disliked = [stored(unlike, 1.0, "--unlike") for unlike in unlikes or ()]
    hits.show(asyncio.run(_recommend(liked, disliked, ranking)), as_json=as_json)


async def _recommend(
    liked: Sequence[StoredPart], disliked: Sequence[StoredPart], ranking: VideoRanking
) -> RankedVideos:
    async with Services().search() as client:
        return await client.recommend_videos(liked, disliked, ranking)
