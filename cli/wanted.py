"""What is to be found, as arguments say it: texts, images, and what is indexed already."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.times import nanoseconds_of
from services.common.errors import InvalidInputError, NotFoundError
from services.common.ranking import Description, ImagePart, MomentPart, ScenePart, StoredPart, TextPart, VideoPart

MAX_IMAGE_BYTES = 15 << 20
"""Of all images together: they are sent in one message."""

TRUNCATED = "A text is longer than the model reads: its end did not count."
"""What is told where an answer's `query_truncated` is set."""

WEIGHED = re.compile(
    r"(?P<named>.+)\^(?P<weight>[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", re.ASCII | re.DOTALL | re.IGNORECASE
)

PART = re.compile(r"parts\[(\d+)\](\.(text|image|video_id))?")
"""What the services call an argument."""

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="What to find, in words; TEXT^0.5 counts half, TEXT^-1 is to be avoided."),
]
Image = Annotated[
    list[str] | None,
    typer.Option("--image", metavar="FILE", help="What looks like this picture (JPEG, PNG, WebP). May be repeated."),
]
Like = Annotated[
    list[str] | None,
    typer.Option(
        "--like",
        metavar="VIDEO",
        help="What is like this video, or this moment (VIDEO@1:02.5) or scene of it (VIDEO#3). May be repeated.",
    ),
]


def wanted(texts: Sequence[str] | None, images: Sequence[str] | None, likes: Sequence[str] | None) -> Description:
    """Each may end in `^WEIGHT`. InvalidInputError if nothing is named."""
    text_parts = [TextPart(*_weighed(text)) for text in texts or ()]
    image_parts = [_image(image) for image in images or ()]
    like_parts = [stored(*_weighed(like), "--like") for like in likes or ()]
    if sum(len(part.image) for part in image_parts) > MAX_IMAGE_BYTES:
        raise InvalidInputError(f"--image: more than {MAX_IMAGE_BYTES >> 20} MiB in all; give smaller pictures")
    description = (*text_parts, *image_parts, *like_parts)
    if not description:
        raise InvalidInputError("nothing to find: give a TEXT, or --image FILE, or --like VIDEO")
    return description


@contextmanager
def refusals_named(
    texts: Sequence[str] | None, images: Sequence[str] | None, likes: Sequence[str] | None
) -> Iterator[None]:
    """Around what asks for the description that `wanted` makes of these: a refusal names the argument it is of."""
    names = [f"TEXT {number}" for number, _ in enumerate(texts or (), 1)]
    names += [f"--image {_weighed(image)[0]}" for image in images or ()]
    names += ["--like" for _ in likes or ()]
    try:
        yield
    except (InvalidInputError, NotFoundError) as error:
        raise type(error)(PART.sub(lambda part: names[int(part[1])], str(error))) from None


def stored(named: str, weight: float, option: str) -> StoredPart:
    """What `VIDEO`, `VIDEO@TIME` or `VIDEO#ORDINAL` names; ids have neither of these two characters."""
    video_id, at, time = named.partition("@")
    if at:
        return MomentPart(video_id, nanoseconds_of(time, f"{option} {named}"), weight)
    video_id, number_sign, ordinal = named.partition("#")
    if not number_sign:
        return VideoPart(video_id, weight)
    if not re.fullmatch(r"\d{1,9}", ordinal, re.ASCII):
        raise InvalidInputError(f"{option} {named}: {ordinal!r} is no scene; write its number, from 0")
    return ScenePart(video_id, int(ordinal), weight)


def _weighed(argument: str) -> tuple[str, float]:
    """What is named, and its weight as in Lucene's query syntax; a caret before anything but a weight is text."""
    if found := WEIGHED.fullmatch(argument):
        weight = float(found["weight"])
        if weight and math.isfinite(weight):
            return found["named"], weight
    return argument, 1.0


def _image(argument: str) -> ImagePart:
    name, weight = _weighed(argument)
    try:
        with Path(name).open("rb") as file:
            return ImagePart(file.read(MAX_IMAGE_BYTES + 1), weight)
    except OSError as error:
        raise InvalidInputError(f"--image {name} cannot be read: {error.strerror}") from None
