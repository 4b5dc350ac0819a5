from collections.abc import Iterator
from contextlib import closing
from threading import Event, current_thread

import pytest

from services.indexer.ahead import ahead


def test_items_come_in_order() -> None:
    assert list(ahead(iter(range(100)), 4)) == list(range(100))


def test_fewer_items_than_are_fetched_ahead_all_come() -> None:
    assert list(ahead(iter([1, 2]), 4)) == [1, 2]


def test_items_are_fetched_before_they_are_asked_for_but_no_more_than_agreed() -> None:
    fetched: list[int] = []
    third = Event()

    def items() -> Iterator[int]:
        for number in range(10):
            fetched.append(number)
            if number == 3:
                third.set()
            yield number

    with closing(ahead(items(), 3)) as coming:
        assert next(coming) == 0
        assert third.wait(10)
        assert fetched == [0, 1, 2, 3]


def test_a_failure_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    coming = ahead(items(), 4)
    assert next(coming) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(coming)


def test_one_thread_fetches_and_ends_with_its_reader() -> None:
    threads = set()

    def items() -> Iterator[int]:
        while True:
            threads.add(current_thread())
            yield 1

    with closing(ahead(items(), 2)) as coming:
        for _ in range(5):
            next(coming)
    (thread,) = threads
    assert thread is not current_thread()
    assert not thread.is_alive()
