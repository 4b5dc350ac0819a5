"""Work that goes on while its results are used."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

END: Any = object()


def ahead(items: Iterator[T], most: int) -> Generator[T, None, None]:
    """The same items, of which a thread fetches up to `most` before they are asked for."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = deque(thread.submit(next, items, END) for _ in range(most))
        while (item := coming.popleft().result()) is not END:
            coming.append(thread.submit(next, items, END))
            yield item
