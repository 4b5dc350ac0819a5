from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.common.media import Video
from services.store import records
from services.store.records import Contents
from services.store.scenes import SceneTable
from tests.strategies import videos

offsets = st.integers(0, 2**63 - 1)


@st.composite
def tables(draw):
    sample_counts = np.array(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)), dtype=np.int64)
    columns = [
        draw(arrays.arrays(np.int64, size, elements=offsets))
        for size in (len(sample_counts), len(sample_counts), int(sample_counts.sum()))
    ]
    return SceneTable(columns[0], columns[1], sample_counts, columns[2])


def columns_of(table):
    return [list(column) for column in (table.starts_ns, table.ends_ns, table.sample_counts, table.offsets_ns)]


@given(videos)
def test_a_video_comes_back_from_its_record(video):
    assert records.decode_video(records.encode_video(video)) == video


def test_a_frame_rate_is_kept_as_the_fraction_that_it_is():
    video = Video("v", "", "", "", "m", 0, frame_rate=Fraction(30000, 1001))
    assert b'"frame_rate":"30000/1001"' in records.encode_video(video)


@given(tables())
def test_scenes_come_back_from_their_record(table):
    assert columns_of(records.decode_scenes(records.encode_scenes(table))) == columns_of(table)


@given(tables(), st.integers(0, 5), st.integers(0, 5))
def test_a_part_of_the_scenes_has_their_samples(table, first, size):
    samples = np.split(table.offsets_ns, np.cumsum(table.sample_counts)[:-1])
    columns = zip(range(len(table)), table.starts_ns, table.ends_ns, map(list, samples), strict=True)
    got = [
        (one.ordinal, one.segment.start_ns, one.segment.end_ns, [sample.offset_ns for sample in one.samples])
        for one in table.part(first, first + size)
    ]
    assert got == list(columns)[first : first + size]


@given(arrays.arrays(np.float16, (3, 5)))
def test_embeddings_come_back_from_their_record(embeddings):
    decoded = records.decode_embeddings(records.encode_embeddings(embeddings), 3, 5)
    np.testing.assert_array_equal(decoded, embeddings)


def test_contents_come_back_from_their_record():
    contents = Contents("model", 512, 1, 2, 3)
    assert records.decode_contents(records.encode_contents(contents)) == contents


@pytest.mark.parametrize(
    "decode",
    [
        lambda: records.decode_video(b"{}"),
        lambda: records.decode_video(b"\xff"),
        lambda: records.decode_video(records.encode_contents(Contents())),
        lambda: records.decode_contents(b"[]"),
        lambda: records.decode_scenes(b""),
        lambda: records.decode_scenes(b"1234567"),
        lambda: records.decode_scenes(np.array([2, 0, 1, 1, 2, 1, 1, 0], dtype=np.int64).tobytes()),
        lambda: records.decode_embeddings(b"12", 1, 2),
    ],
)
def test_bytes_that_no_encoder_made_are_refused(decode):
    with pytest.raises(records.MALFORMED):
        decode()
