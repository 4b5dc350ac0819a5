import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.store import keys

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
ordinals = st.integers(0, 2**32 - 1)
names = st.tuples(ids, ordinals)


@given(ids)
def test_a_video_comes_back_from_its_key(video_id):
    assert keys.unpack_video(keys.pack_video(video_id)) == video_id


@given(names, names)
def test_keys_of_scenes_sort_as_id_and_ordinal_do(one, other):
    assert (keys.pack_scene(*one) < keys.pack_scene(*other)) == (one < other)


@given(ids, ids)
def test_keys_of_videos_sort_as_ids_do(one, other):
    assert (keys.pack_video(one) < keys.pack_video(other)) == (one < other)


@given(names)
def test_a_key_of_a_scene_is_none_of_a_video(name):
    with pytest.raises(ValueError, match=r"key of a video|codec can't decode"):
        keys.unpack_video(keys.pack_scene(*name))
