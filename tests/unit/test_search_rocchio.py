"""How much examples count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.search.rocchio import weights


@given(st.integers(1, 100), st.integers(1, 100))
def test_each_kind_counts_as_its_mean_however_many_there_are(liked_count, disliked_count):
    liked, disliked = weights(liked_count, disliked_count)
    assert (liked * liked_count, disliked * disliked_count) == (pytest.approx(0.75), pytest.approx(-0.15))


def test_nothing_need_be_disliked():
    assert weights(3, 0)[0] == 0.25
