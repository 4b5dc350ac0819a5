"""Lists that come in pages."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer

T = TypeVar("T")

Most = Annotated[int | None, typer.Option("-n", min=1, help="At most this many.", show_default="all")]

PAGE_SIZE = 1000


async def collect(fetch: Callable[[int, str], Awaitable[tuple[Sequence[T], str]]], most: int | None = None) -> list[T]:
    """The whole list, or its first `most` items; `fetch` turns a page's size and token into items and a next token."""
    items: list[T] = []
    page_token = ""
    while True:
        page_size = PAGE_SIZE if most is None else min(PAGE_SIZE, most - len(items))
        page, page_token = await fetch(page_size, page_token)
        items.extend(page)
        if not page_token or len(items) == most:
            return items
