"""Values of all kinds, for hypothesis."""

from datetime import UTC, datetime
from fractions import Fraction
from functools import partial

from hypothesis import strategies as st

from services.common.conditions import (
    AllOf,
    AnyOf,
    DurationRange,
    MetadataIn,
    MetadataPrefix,
    MetadataRange,
    Not,
    TimeRange,
    VideoIds,
)
from services.common.media import Detection, Detector, Segment, Video, VideoFilter

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
video_ids = st.from_regex(r"\A[A-Za-z0-9._:-]{1,128}\Z")
lengths = st.integers(0, 10**18)
counts = st.integers(0, 2**31 - 1)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
metadata = st.dictionaries(key, text, max_size=5)


def ranges(kind, limits):
    """Ranges of a kind, half-open, with both limits or one or none."""
    ordered = st.lists(limits, min_size=2, max_size=2, unique=True).map(sorted)
    return st.builds(
        lambda pair, shown: kind(*(x if s else None for x, s in zip(pair, shown, strict=True))),
        ordered,
        st.tuples(st.booleans(), st.booleans()),
    )


def conditions_on(ids, keys, values, numbers, instants):
    """Conditions on such things, nested."""
    simple = st.one_of(
        st.builds(VideoIds, st.frozensets(ids, min_size=1, max_size=3)),
        st.builds(MetadataIn, keys, st.frozensets(values, min_size=1, max_size=3)),
        st.builds(MetadataPrefix, keys, values),
        keys.flatmap(lambda named: ranges(partial(MetadataRange, named), numbers)),
        ranges(DurationRange, lengths),
        ranges(TimeRange, instants),
    )
    return st.recursive(
        simple,
        lambda inner: st.one_of(
            st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=8,
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
conditions = conditions_on(video_ids, key, text, finite, times)
filters = st.builds(VideoFilter, st.frozensets(video_ids, max_size=5), metadata, st.none() | conditions)
segments = st.builds(lambda start, length: Segment(start, start + length), lengths, st.integers(1, 10**15))
detections = st.builds(
    Detection,
    detector=st.sampled_from(Detector),
    threshold=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    min_scene_ns=lengths,
    max_scene_ns=st.integers(1, 10**18),
)
rates = st.fractions(Fraction(1, 1000), 1000, max_denominator=100_000)
videos = st.builds(
    Video,
    video_id=video_ids,
    uri=text,
    title=text,
    content_sha256=text,
    model=text,
    decoded_ns=lengths,
    duration_ns=st.none() | lengths,
    decode_errors=counts,
    width=counts,
    height=counts,
    codec=text,
    frame_rate=st.none() | rates,
    detection=detections,
    metadata=metadata,
    scene_count=counts,
    index_time=st.none() | times,
)
