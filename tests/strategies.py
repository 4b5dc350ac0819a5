"""Values of all kinds, for hypothesis."""

from datetime import UTC, datetime
from fractions import Fraction

from hypothesis import strategies as st

from services.common.media import Detection, Detector, Segment, Video, VideoFilter

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
video_ids = st.from_regex(r"\A[A-Za-z0-9._:-]{1,128}\Z")
lengths = st.integers(0, 10**18)
counts = st.integers(0, 2**31 - 1)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
metadata = st.dictionaries(key, text, max_size=5)
filters = st.builds(VideoFilter, video_ids=st.frozensets(video_ids, max_size=5), metadata=metadata)
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
