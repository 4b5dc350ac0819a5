"""Queries as they come in."""

from services.common.errors import InvalidInputError

MAX_TEXT_LENGTH = 10_000


def text_from(text: str) -> str:
    """The query without the space around it."""
    text = text.strip()
    if not text:
        raise InvalidInputError("text is empty: describe in words what to find")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidInputError(f"text has {len(text)} characters: shorten it to {MAX_TEXT_LENGTH} or fewer")
    return text
