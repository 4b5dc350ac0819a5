import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.common import vectors
from services.common.errors import InvalidInputError

rows = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 40)),
    elements=st.floats(-1000, 1000, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3),
)


@given(rows)
def test_normalized_rows_have_length_one_or_stay_zero(matrix):
    lengths = np.linalg.norm(vectors.normalize(matrix), axis=1)
    np.testing.assert_allclose(lengths, matrix.any(axis=1), atol=1e-5)


def test_one_vector_is_normalized_like_a_row():
    np.testing.assert_array_equal(vectors.normalize([3, 4]), np.float32([0.6, 0.8]))


@given(rows.filter(lambda matrix: matrix[0].any()))
def test_a_vector_comes_back_from_its_bytes_bit_by_bit(matrix):
    vector = vectors.normalize(matrix)[0]
    np.testing.assert_array_equal(vectors.from_bytes(vectors.to_bytes(vector)), vector)


def test_bytes_are_little_endian_float32():
    assert vectors.to_bytes(np.float32([1, 0])) == bytes.fromhex("0000803f00000000")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 5,
        np.float32([0, 0]).tobytes(),
        np.float32([1, 1]).tobytes(),
        np.float32([np.nan, 1]).tobytes(),
        np.float32([np.inf, 0]).tobytes(),
        np.float32([3e38, 3e38]).tobytes(),
    ],
    ids=["empty", "five bytes", "zero", "too long", "not a number", "infinite", "of a length beyond all numbers"],
)
def test_bytes_that_are_no_unit_vector_are_refused(data):
    with pytest.raises(InvalidInputError):
        vectors.from_bytes(data)
