"""Vectors in blocks, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import vectors
from services.store import blocks
from services.store.blocks import Blocks, Packed

dimensions = st.sampled_from([1, 4, 33, 512])
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 8)


def made(dimension, counts):
    random = np.random.default_rng(dimension)
    parts = [vectors.normalize(random.standard_normal((count, dimension))).astype(np.float16) for count in counts]
    held = Blocks(dimension)
    for part in parts:
        held = held.extended(part)
    return held, vectors.normalize(np.concatenate(parts)), vectors.normalize(random.standard_normal(dimension))


@given(dimensions, sizes)
def test_similarities_are_those_of_unit_rows_whichever_block_they_are_in(dimension, counts):
    held, unit, query = made(dimension, counts)
    wanted = unit.astype(np.float64) @ query
    np.testing.assert_allclose(held.similarities(Packed(query), 0, len(unit)), wanted, atol=3e-7)


@given(dimensions, sizes, st.data())
def test_a_rows_similarity_does_not_depend_on_what_it_is_scored_with(dimension, counts, data):
    held, unit, query = made(dimension, counts)
    every = held.similarities(Packed(query), 0, len(unit))
    first = data.draw(st.integers(0, len(unit)))
    stop = data.draw(st.integers(first, len(unit)))
    some = np.array(sorted(data.draw(st.sets(st.integers(0, len(unit) - 1)))), dtype=np.int64)
    assert np.array_equal(held.similarities(Packed(query), first, stop), every[first:stop])
    assert np.array_equal(held.similarities_at(Packed(query), some), every[some])


@given(dimensions, sizes, st.data())
def test_what_is_kept_is_what_was_marked(dimension, counts, data):
    held, unit, _ = made(dimension, counts)
    marked = np.array(data.draw(st.lists(st.booleans(), min_size=len(unit), max_size=len(unit))))
    kept = held.kept(marked)
    assert np.array_equal(kept.unit(np.arange(kept.count)), held.unit(np.flatnonzero(marked)))


def test_a_reader_keeps_its_rows_while_more_are_added():
    held, unit, _ = made(16, [5])
    held.extended(held.halves[0][:3])
    assert np.array_equal(held.unit(np.arange(held.count)), unit)


def test_a_vector_is_as_similar_to_itself_as_can_be():
    _, unit, _ = made(512, [9] * 8)
    held = Blocks(512).extended(unit.astype(np.float16))
    itself = [held.similarities(Packed(row), place, place + 1)[0] for place, row in enumerate(unit)]
    assert 1 - 1e-6 < min(itself) <= max(itself) <= 1


def test_a_vector_without_direction_is_like_nothing():
    held = Blocks(4).extended(np.zeros((1, 4), dtype=np.float16))
    assert held.similarities(Packed(np.float32([1, 0, 0, 0])), 0, 1) == [0]
