"""`videosearch timeline`."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import typer
from rich.text import Text

from cli import output
from cli.curves import Curve
from cli.peaks import Peak, peaks
from cli.settings import Services
from cli.wanted import TRUNCATED, Image, Like, Texts, refusals_named, wanted
from services.common.media import Video
from services.common.ranking import Description, Timeline

WIDTH = 80
"""Columns of a chart that goes to no terminal."""

ROWS = 8
"""Of the curve; the marks of the highest peaks lie above it."""

MARKS = "123456789abcdefghijklmnopqrstuvwxyz"
"""A peak's rank, in one character."""

LEVELS = " ▁▂▃▄▅▆▇█"
"""How full a character is, from nothing on."""

ASCII_LEVELS = " .:#"


def timeline(
    video_id: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's id.")],
    texts: Texts = None,
    *,
    image: Image = None,
    like: Like = None,
    count: Annotated[int, typer.Option("--peaks", min=0, max=len(MARKS), help="How many peaks are named.")] = 5,
    as_json: output.AsJson = False,
) -> None:
    """Draw when in a video something can be seen: its relevance curve."""
    with refusals_named(texts, image, like):
        video, found = asyncio.run(_timeline(video_id, wanted(texts, image, like)))
    if found.query_truncated:
        output.tell(TRUNCATED)
    best = peaks(found.points, count)
    if as_json:
        output.print_json({"video_id": video_id, **output.plain(found), "peaks": best})
    elif not found.points:
        output.tell("Nothing to draw: the video has no sampled frames.")
    else:
        _print(video, Curve(found.points, video.decoded_ns), best)


async def _timeline(video_id: str, description: Description) -> tuple[Video, Timeline]:
    services = Services()
    async with services.store() as store, services.search() as search:
        return await store.video(video_id), await search.timeline(video_id, description)


def _print(video: Video, curve: Curve, best: Sequence[Peak]) -> None:
    console = output.console()
    output.print_line(f"{output.label(video)}, {output.timecode(video.decoded_ns)}")
    width = console.width if console.is_terminal else WIDTH
    for line in chart(curve, best, width, ASCII_LEVELS if console.options.ascii_only else LEVELS):
        console.print(line, no_wrap=True, crop=True)
    if best:
        rows = [
            (mark, output.timecode(peak.offset_ns), f"{peak.score:.3f}", str(peak.ordinal))
            for mark, peak in zip(MARKS, best, strict=False)
        ]
        output.print_table(("peak", "moment", "score", "scene"), rows, right=("score", "scene"))


def chart(curve: Curve, best: Sequence[Peak], width: int, levels: str) -> Iterator[Text]:
    """The lines of a chart so many columns wide; a column that has points shows the greatest of them."""
    names = {ROWS - 1: f"{curve.high:.3f}", 0: f"{curve.low:.3f}"}
    margin = max(map(len, names.values()))
    columns = max(width - margin - 2, 1)
    per_row = len(levels) - 1
    fills = _fills(curve, columns, per_row)
    marks = _marks(curve, best, fills, per_row)
    for row in reversed(range(max([ROWS, *(row + 1 for row, _ in marks)]))):
        cells = [
            marks.get((row, n), levels[min(max(fill - row * per_row, 0), per_row)]) for n, fill in enumerate(fills)
        ]
        axis = names.get(row, "").rjust(margin) + (" |" if levels.isascii() else " │")
        line = Text.assemble((axis, "dim"), ("".join(cells), "cyan"))
        line.highlight_regex(f"(?<=.{{{len(axis)}}})[{MARKS}]", "bold yellow")
        line.rstrip()
        yield line
    yield from _axis(curve, columns, margin, ascii_only=levels.isascii())


def _fills(curve: Curve, columns: int, per_row: int) -> list[int]:
    """How high each column is filled, in parts of a row; at least one, so that the least score is seen too."""
    greatest = curve.greatest(columns)
    scores = [
        greatest[column].score if column in greatest else curve.score_at((column + 0.5) * curve.end_ns / columns)
        for column in range(columns)
    ]
    return [1 + round(curve.y(score) * (ROWS * per_row - 1)) for score in scores]


def _marks(curve: Curve, best: Sequence[Peak], fills: Sequence[int], per_row: int) -> Mapping[tuple[int, int], str]:
    """A mark right above the curve for each peak, by row and column; one above the other where they coincide."""
    marks: dict[tuple[int, int], str] = {}
    for mark, peak in zip(MARKS, best, strict=False):
        column = curve.column(peak.offset_ns, len(fills))
        row = -(-fills[column] // per_row)
        while (row, column) in marks:
            row += 1
        marks[row, column] = mark
    return marks


def _axis(curve: Curve, columns: int, margin: int, *, ascii_only: bool) -> Iterator[Text]:
    corner, line, tick = "+-+" if ascii_only else "└─┬"
    axis, names = [line] * columns, [" "] * columns
    for offset_ns, name in curve.ticks(most=max(columns // 13, 1)):
        column = curve.column(offset_ns, columns)
        if column + len(name) <= columns:
            axis[column] = tick
            names[column : column + len(name)] = name
    yield Text(" " * (margin + 1) + corner + "".join(axis), style="dim")
    yield Text(" " * (margin + 2) + "".join(names).rstrip(), style="dim")
