"""`videosearch videos`."""

import asyncio
import sys
from typing import Annotated

import typer

from cli import output
from cli.pages import Most, collect
from cli.settings import Services
from services.common.media import Scene, Video

app = typer.Typer(help="The indexed videos.", no_args_is_help=True)

VideoId = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
def list_videos(most: Most = None, as_json: output.AsJson = False) -> None:
    """List videos, in the order of their ids."""
    videos = asyncio.run(_videos(most))
    if as_json:
        output.print_json(videos)
        return
    rows = [
        (
            video.video_id,
            output.label(video),
            output.timecode(video.decoded_ns),
            str(video.scene_count),
            output.local_time(video.index_time),
        )
        for video in videos
    ]
    output.print_table(("id", "title", "length", "scenes", "indexed"), rows, right=("length", "scenes"))


@app.command()
def show(video_id: VideoId, as_json: output.AsJson = False) -> None:
    """Show one video with its scenes."""
    video, scenes = asyncio.run(_video_and_scenes(video_id))
    if as_json:
        output.print_json({**output.plain(video), "scenes": scenes})
        return
    output.print_table(("", ""), _properties(video))
    rows = [
        (str(scene.ordinal), output.span(scene.segment), "  ".join(output.timecode(s.offset_ns) for s in scene.samples))
        for scene in scenes
    ]
    output.print_table(("scene", "span", "sampled frames"), rows, right=("scene",))


@app.command()
def delete(
    video_ids: Annotated[list[str], typer.Argument(metavar="ID")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete videos with their scenes and embeddings. Asks first when run in a terminal."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {output.counted(len(video_ids), 'video')}?", abort=True, err=True)
    asyncio.run(_delete(video_ids))


async def _videos(most: int | None) -> list[Video]:
    async with Services().store() as store:
        return await collect(store.videos, most)


async def _video_and_scenes(video_id: str) -> tuple[Video, list[Scene]]:
    async with Services().store() as store:
        video = await store.video(video_id)
        return video, await collect(lambda size, token: store.scenes(video_id, size, token))


async def _delete(video_ids: list[str]) -> None:
    async with Services().store() as store:
        for video_id in video_ids:
            await store.delete_video(video_id)
            output.tell(f"deleted {video_id}")


def _properties(video: Video) -> list[tuple[str, str]]:
    """What is known of a video, by name; what is not known is left out."""
    rate = video.frame_rate
    properties = {
        "id": video.video_id,
        "title": video.title,
        "uri": video.uri,
        "length": output.timecode(video.decoded_ns),
        "container says": "" if video.duration_ns is None else output.timecode(video.duration_ns),
        "decode errors": str(video.decode_errors or ""),
        "picture": f"{video.width}x{video.height} {video.codec}" if video.width else "",
        "frame rate": "" if rate is None else f"{float(rate):.3f} ({rate})",
        "sha256": video.content_sha256,
        "model": video.model,
        "indexed": output.local_time(video.index_time),
        **{f"meta {key}": value for key, value in sorted(video.metadata.items())},
    }
    return [(name, value) for name, value in properties.items() if value]
