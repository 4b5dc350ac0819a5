"""How a search is narrowed, as options say it. All that they say must hold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format

from cli.metadata import metadata_of
from cli.times import instant_of, nanoseconds_of
from services.common import convert
from services.common.conditions import AllOf, Condition, DurationRange, TimeRange
from services.common.errors import InvalidInputError
from services.common.media import Segment, VideoFilter
from videosearch.v1 import media_pb2

PANEL = "Narrowing"

FOREVER_NS = 2**63 - 1
"""Longer than any video."""

Video = Annotated[
    list[str] | None,
    typer.Option("--video", metavar="ID", help="Only this video. May be repeated.", rich_help_panel=PANEL),
]
Meta = Annotated[
    list[str] | None,
    typer.Option(
        "--meta", metavar="KEY=VALUE", help="Only videos that have this. May be repeated.", rich_help_panel=PANEL
    ),
]
MinLength = Annotated[
    str | None,
    typer.Option("--min-length", metavar="TIME", help="Only videos at least this long.", rich_help_panel=PANEL),
]
MaxLength = Annotated[
    str | None,
    typer.Option("--max-length", metavar="TIME", help="Only videos at most this long.", rich_help_panel=PANEL),
]
IndexedSince = Annotated[
    str | None,
    typer.Option("--indexed-since", metavar="WHEN", help="Only videos indexed then or later.", rich_help_panel=PANEL),
]
IndexedBefore = Annotated[
    str | None,
    typer.Option("--indexed-before", metavar="WHEN", help="Only videos indexed earlier.", rich_help_panel=PANEL),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="JSON", help="Only videos that meet this VideoCondition, or @FILE.", rich_help_panel=PANEL
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="START-END",
        help="Only scenes that overlap this span of their video; one side may be empty.",
        rich_help_panel=PANEL,
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", metavar="SCORE", help="Only hits that score at least this.", rich_help_panel=PANEL),
]
Cutoff = Annotated[
    float | None,
    typer.Option(
        "--cutoff",
        metavar="SHARE",
        min=0,
        max=1,
        help="Only hits that score at least this share of the best one.",
        rich_help_panel=PANEL,
    ),
]
Distinct = Annotated[
    float | None,
    typer.Option(
        "--distinct",
        metavar="SIMILARITY",
        min=0,
        max=1,
        help="Only hits less similar than this to better ones.",
        rich_help_panel=PANEL,
    ),
]


def filter_of(videos: Sequence[str] | None, meta: Sequence[str] | None, *conditions: Condition | None) -> VideoFilter:
    given = tuple(condition for condition in conditions if condition)
    condition = AllOf(given) if len(given) > 1 else next(iter(given), None)
    return VideoFilter(frozenset(videos or ()), metadata_of(meta), condition)


def length(least: str | None, most: str | None) -> DurationRange | None:
    """What `--min-length` and `--max-length` say."""
    if least is None and most is None:
        return None
    at_least_ns = None if least is None else nanoseconds_of(least, "--min-length")
    below_ns = None if most is None else nanoseconds_of(most, "--max-length") + 1
    if at_least_ns is not None and below_ns is not None and at_least_ns >= below_ns:
        raise InvalidInputError(f"--min-length {least} is more than --max-length {most}")
    return DurationRange(at_least_ns, below_ns)


def index_time(since: str | None, before: str | None) -> TimeRange | None:
    """What `--indexed-since` and `--indexed-before` say."""
    if since is None and before is None:
        return None
    at_least = None if since is None else instant_of(since, "--indexed-since")
    below = None if before is None else instant_of(before, "--indexed-before")
    if at_least and below and at_least >= below:
        raise InvalidInputError(f"--indexed-since {since} is not before --indexed-before {before}")
    return TimeRange(at_least, below)


def condition(where: str | None) -> Condition | None:
    """What `--where` says: a VideoCondition of media.proto in protobuf's JSON form, or `@` and the name of its file."""
    if where is None:
        return None
    try:
        text = Path(where[1:]).read_text("utf-8") if where.startswith("@") else where
        return convert.condition_from(json_format.Parse(text, media_pb2.VideoCondition()))
    except OSError as error:
        raise InvalidInputError(f"--where {where} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise InvalidInputError(f"--where is no VideoCondition: {' '.join(str(error).split())}") from None


def window(span: str | None) -> Segment | None:
    """What `--window` says."""
    if span is None:
        return None
    start, dash, end = span.partition("-")
    if not dash or not (start or end):
        raise InvalidInputError(f"--window {span}: write it as START-END, START- or -END")
    start_ns = nanoseconds_of(start, "--window") if start else 0
    end_ns = nanoseconds_of(end, "--window") if end else FOREVER_NS
    if start_ns >= end_ns:
        raise InvalidInputError(f"--window {span} does not end after it starts")
    return Segment(start_ns, end_ns)
