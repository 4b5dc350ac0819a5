"""What `videosearch search --html FILE` writes: the hits as one page that needs nothing beside it."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli import output
from cli.curves import Curve
from cli.files import written_whole
from cli.peaks import Peak, peaks
from cli.wanted import TRUNCATED
from services.common.clients.search import SearchClient
from services.common.errors import NotFoundError
from services.common.media import SceneHit, Video
from services.common.ranking import (
    Description,
    ImagePart,
    MomentPart,
    RankedScenes,
    RankedVideos,
    ScenePart,
    StoredPart,
    TextPart,
    VideoPart,
)

TEMPLATE = Path(__file__).with_name("report.html.jinja")

MAX_CONCURRENT_CALLS = 4

PEAKS = 5

MAX_PICTURE_BYTES = 1 << 20
"""A larger picture of the query is named, not shown: it would have to be carried whole."""

MEDIA_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
"""By what the file begins with."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A part of the query, as a person reads it."""

    words: str
    weight: float
    picture: bytes = b""


@dataclass(frozen=True, slots=True)
class Card:
    """A video with its hits."""

    video: Video
    rank: int | None
    """None where scenes were ranked."""
    score: float
    """The video's, or of its best scene."""
    hits: tuple[tuple[int, SceneHit], ...]
    """Each with its rank: among all scenes if these were ranked, else among the video's."""
    curve: Curve | None = None
    peaks: tuple[Peak, ...] = ()


async def write(
    file: Path, client: SearchClient, wanted: Description, results: RankedVideos | RankedScenes, skipped: int = 0
) -> None:
    """Write the report of what was found, after the `skipped` first hits. A video deleted meanwhile has no curve."""
    cards = cards_of(results, skipped + 1)
    places = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
    cards = await asyncio.gather(*(_with_curve(card, client, wanted, places) for card in cards))
    page = render(wanted, results, cards)
    await asyncio.to_thread(_replace, file, page)


def cards_of(results: RankedVideos | RankedScenes, first_rank: int = 1) -> list[Card]:
    """A card for each video, in the order of the hits."""
    if isinstance(results, RankedVideos):
        return [
            Card(hit.video, rank, hit.score, tuple(enumerate(hit.scenes, 1)))
            for rank, hit in enumerate(results.hits, first_rank)
        ]
    ranked: dict[str, list[tuple[int, SceneHit]]] = {}
    for rank, hit in enumerate(results.hits, first_rank):
        ranked.setdefault(hit.video_id, []).append((rank, hit))
    by_video = [(video, tuple(ranked[video.video_id])) for video in results.videos]
    return [Card(video, None, hits[0][1].score, hits) for video, hits in by_video]


async def _with_curve(card: Card, client: SearchClient, wanted: Description, places: asyncio.Semaphore) -> Card:
    try:
        async with places:
            timeline = await client.timeline(card.video.video_id, wanted)
    except NotFoundError:
        return card
    if not timeline.points:
        return card
    curve = Curve(timeline.points, card.video.decoded_ns)
    return replace(card, curve=curve, peaks=peaks(timeline.points, PEAKS))


def render(wanted: Description, results: RankedVideos | RankedScenes, cards: Sequence[Card]) -> str:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "data_uri": _data_uri,
        "score": "{:.3f}".format,
        "percent": "{:.3%}".format,
        "timecode": output.timecode,
        "span": output.span,
        "label": output.label,
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    names = {card.video.video_id: output.label(card.video) for card in cards}
    return template.render(
        asked=[_asked(part, names) for part in wanted],
        cards=cards,
        results=results,
        ranks_videos=isinstance(results, RankedVideos),
        counted=output.counted,
        truncated=TRUNCATED,
        now=datetime.now(UTC).astimezone(),
    )


def _asked(part: TextPart | ImagePart | StoredPart, names: Mapping[str, str]) -> Asked:
    """Videos are named as in the report, where they are in it."""
    match part:
        case TextPart(text, weight):
            return Asked(text, weight)
        case ImagePart(image, weight):
            return Asked("a picture", weight, image)
        case VideoPart(video_id, weight):
            return Asked(f"like {names.get(video_id, video_id)}", weight)
        case ScenePart(video_id, ordinal, weight):
            return Asked(f"like scene {ordinal} of {names.get(video_id, video_id)}", weight)
        case MomentPart(video_id, offset_ns, weight):
            return Asked(f"like {names.get(video_id, video_id)} at {output.timecode(offset_ns)}", weight)


def _shown(value: Any) -> Any:
    """Texts without what is not printed: some characters are forbidden in a page, others turn its direction around."""
    is_text = type(value) is str  # what the template has made itself is of another type
    return output.visible(value) if is_text and not value.isprintable() else value


def _data_uri(image: bytes) -> str:
    """The image within the page; empty if there is none that a browser shows, or it is too large."""
    media_type = next((name for start, name in MEDIA_TYPES.items() if image.startswith(start)), "")
    if not media_type or len(image) > MAX_PICTURE_BYTES:
        return ""
    return f"data:{media_type};base64,{base64.b64encode(image).decode()}"


def _replace(file: Path, page: str) -> None:
    with written_whole(file) as part:
        part.write_text(page, encoding="utf-8")
