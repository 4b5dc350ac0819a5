"""What a command prints: data to stdout, as tables or as JSON; everything else to stderr."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from services.common.media import NANOSECONDS, Segment, Video

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

FILE_WIDTH = 1000
"""Columns when the output is no terminal: nothing is cut or wrapped for the program that reads it."""

HARMLESS = "\n\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Not printable by themselves; many scripts and emoji are written with the last two."""

WIDE = 72
"""Columns of a terminal that has room for times beside a title."""


def console(*, stderr: bool = False) -> Console:
    """A console that takes text as it is: titles and paths are no markup."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = FILE_WIDTH
    return made


def tell(message: str) -> None:
    """Say something to the person, not to the program that reads stdout."""
    console(stderr=True).print(visible(message), soft_wrap=True)


def print_line(line: str) -> None:
    console().print(visible(line), soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), whole: Sequence[str] = ()
) -> None:
    """Print rows under their columns; those named in `right` are numbers, those in `whole` break for no other one."""
    made = console()
    has_room = made.width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=has_room and column in whole)
    for row in rows:
        table.add_row(*map(visible, row))
    made.print(table)


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    console().out(json.dumps(plain(value)))


def plain(value: Any) -> Any:
    """A value of ours as JSON knows it: a field `x_ns` becomes `x_s`, in seconds; vectors and images are left out."""
    if is_dataclass(value):
        return _plain_fields({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Fraction | Path) else value


def _plain_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        if name.endswith("_ns"):
            found[name.removesuffix("ns") + "s"] = None if value is None else value / NANOSECONDS
        elif not isinstance(value, np.ndarray | bytes):
            found[name] = plain(value)
    return found


def visible(text: str) -> str:
    """The text without what a terminal would obey: escape sequences in a title must not reach it."""
    return "".join(
        character if character.isprintable() or character in HARMLESS else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def timecode(nanoseconds: int) -> str:
    """`HH:MM:SS.mmm`, to the nearest millisecond."""
    seconds, milliseconds = divmod((nanoseconds + 500_000) // 1_000_000, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{milliseconds:03}"


def span(segment: Segment) -> str:
    return f"{timecode(segment.start_ns)}\N{EN DASH}{timecode(segment.end_ns)}"


def local_time(instant: datetime | None) -> str:
    return "" if instant is None else instant.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def label(video: Video) -> str:
    return video.title or video.video_id
