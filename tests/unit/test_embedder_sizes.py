from types import SimpleNamespace

import pytest

from services.embedder import sizes
from services.embedder.sizes import Sizes


@pytest.fixture
def measured(monkeypatch):
    """The sizes that are kept of a model whose pass takes `seconds(size)`, and those that were tried."""

    def measured(seconds, most=64):
        now, tried = [0.0], []

        def encode(batch):
            tried.append(len(batch))
            now[0] += seconds(len(batch))

        monkeypatch.setattr(sizes, "time", SimpleNamespace(perf_counter=lambda: now[0]))
        found = Sizes.measured(encode, {}, most)
        return list(found.seconds), sorted(set(tried))

    return measured


def test_sizes_are_kept_as_long_as_they_pay(measured):
    kept, _ = measured(lambda size: 0.01 + 0.001 * size)
    assert kept == [1, 2, 4, 8, 16, 32, 64]


def test_where_a_larger_batch_only_takes_longer_one_is_best_and_little_is_tried(measured):
    assert measured(lambda size: 0.01 * size) == ([1], [1, 2, 4])


def test_a_size_that_brings_nothing_is_left_out_but_a_larger_one_may_bring_something(measured):
    kept, _ = measured(lambda size: {1: 1.0, 2: 1.98, 4: 2.0, 8: 5.0}.get(size, size) / 100)
    assert kept == [1, 4]


def test_nothing_is_tried_after_a_pass_that_takes_too_long(measured):
    assert measured(lambda size: 0.1 + 0.1 * size)[1] == [1, 2, 4]


def test_no_size_is_above_the_bound(measured):
    assert measured(lambda size: 0.01, most=48)[1] == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize(("waiting", "count"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 5), (7, 7), (8, 8), (100, 8)])
def test_a_batch_takes_as_many_as_cost_least_each(waiting, count):
    assert Sizes({1: 0.010, 2: 0.016, 8: 0.036}).best(waiting) == count
