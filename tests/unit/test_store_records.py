from datetime import UTC
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.common.media import Detection, Detector, Video
from services.store import records
from services.store.records import Contents
from services.store.scenes import SceneTable

counts = st.integers(0, 2**31 - 1)
offsets = st.integers(0, 2**63 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
videos = st.builds(
    Video,
    video_id=text,
    uri=text,
    title=text,
    content_sha256=text,
    model=text,
    decoded_ns=offsets,
    duration_ns=st.none() | offsets,
    decode_errors=counts,
    width=counts,
    height=counts,
    codec=text,
    frame_rate=st.none() | st.fractions(),
    detection=st.builds(Detection, st.sampled_from(Detector), st.none() | st.floats(0.001, 1e6), offsets),
    metadata=st.dictionaries(text, text, max_size=3),
    scene_count=counts,
    index_time=st.none() | st.datetimes(timezones=st.just(UTC)),
)


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
    ends = np.cumsum(table.sample_counts)
    wanted = [
        (start, end, list(table.offsets_ns[last - count : last]))
        for start, end, count, last in zip(table.starts_ns, table.ends_ns, table.sample_counts, ends, strict=True)
    ][first : first + size]
    part = table.part(first, first + size)
    samples = np.split(part.offsets_ns, np.cumsum(part.sample_counts)[:-1]) if len(part) else []
    got = zip(part.starts_ns, part.ends_ns, map(list, samples), strict=True)
    assert list(got) == wanted


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
