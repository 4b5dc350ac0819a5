import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.wanted import MAX_IMAGE_BYTES, wanted
from services.common.errors import InvalidInputError
from services.common.ranking import ImagePart, MomentPart, ScenePart, TextPart, VideoPart
from tests import strategies

weights = strategies.finite.filter(bool)


def texts(*arguments):
    return wanted(arguments, None, None)


def images(*arguments):
    return wanted(None, list(map(str, arguments)), None)


def likes(*arguments):
    return wanted(None, None, arguments)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "cat.jpg"
    file.write_bytes(b"a cat")
    return file


def test_what_is_wanted_comes_as_texts_then_images_then_likes(picture):
    assert wanted(["rain", "snow^-1"], [str(picture)], ["bbb", "tos#2"]) == (
        TextPart("rain"),
        TextPart("snow", -1.0),
        ImagePart(b"a cat"),
        VideoPart("bbb"),
        ScenePart("tos", 2),
    )


@given(st.text(min_size=1), weights)
def test_any_text_may_end_in_any_weight(text, weight):
    assert texts(f"{text}^{weight!r}") == (TextPart(text, weight),)


@pytest.mark.parametrize(
    ("argument", "text", "weight"),
    [
        ("a^b^2", "a^b", 2.0),
        ("x^2^-.5", "x^2", -0.5),
        ("rain^+2.", "rain", 2.0),
        ("rain\nand snow^1E-1", "rain\nand snow", 0.1),
        ("rain ^2", "rain ", 2.0),
    ],
)
def test_a_weight_is_what_follows_the_last_caret(argument, text, weight):
    assert texts(argument) == (TextPart(text, weight),)


@pytest.mark.parametrize(
    "argument",
    [
        *("", "^2", "rain", "rain^", "rain^0", "rain^-0.0", "rain^nan", "rain^inf", "rain^1e999", "rain^1_0"),
        *("rain^ 2", "rain^2 ", "rain^2x", "rain^0x10", "rain^\N{ARABIC-INDIC DIGIT TWO}", "E=mc^two"),
    ],
)
def test_a_caret_before_anything_else_is_text(argument):
    assert texts(argument) == (TextPart(argument),)


def test_images_are_read_and_may_have_weights(picture):
    assert images(picture, f"{picture}^-0.5") == (ImagePart(b"a cat"), ImagePart(b"a cat", -0.5))


def test_a_name_of_a_file_may_have_carets(tmp_path):
    (tmp_path / "a^2.jpg").write_bytes(b"two")
    assert images(tmp_path / "a^2.jpg") == (ImagePart(b"two"),)


def test_an_image_that_is_missing_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=rf"^--image {tmp_path}/cat.jpg cannot be read: No such file"):
        images(f"{tmp_path}/cat.jpg^2")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot be read: Is a directory"):
        images(tmp_path)


def test_images_may_take_15_mib_in_all_and_no_more(tmp_path, picture):
    large = tmp_path / "large.png"
    large.touch()
    with large.open("r+b") as file:
        file.truncate(MAX_IMAGE_BYTES)
    assert len(images(large)[0].image) == 15 << 20
    with pytest.raises(InvalidInputError, match="more than 15 MiB in all; give smaller pictures"):
        images(large, picture)


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ("bbb", VideoPart("bbb")),
        ("bbb^-2", VideoPart("bbb", -2.0)),
        ("a.b:c-d_e", VideoPart("a.b:c-d_e")),
        ("bbb@42.5", MomentPart("bbb", 42_500_000_000)),
        ("bbb@1:02:03.004^0.5", MomentPart("bbb", 3_723_004_000_000, 0.5)),
        ("bbb#0", ScenePart("bbb", 0)),
        ("bbb#12^2", ScenePart("bbb", 12, 2.0)),
    ],
)
def test_what_is_liked_is_a_video_a_moment_or_a_scene(argument, part):
    assert likes(argument) == (part,)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("bbb@", "--like bbb@: '' is no time"),
        ("bbb@noon", "--like bbb@noon: 'noon' is no time"),
        ("bbb@1^x", "--like bbb@1^x: '1^x' is no time"),
        ("bbb#", "--like bbb#: '' is no scene; write its number, from 0"),
        ("bbb#-1", "--like bbb#-1: '-1' is no scene"),
        ("bbb#2147483648", "--like bbb#2147483648: '2147483648' is no scene"),
    ],
)
def test_a_moment_and_a_scene_must_be_numbers(argument, reason):
    with pytest.raises(InvalidInputError) as refused:
        likes(argument)
    assert str(refused.value).startswith(reason)


def test_something_must_be_wanted():
    with pytest.raises(InvalidInputError, match="nothing to find: give a TEXT, or --image FILE, or --like VIDEO"):
        wanted(None, None, None)
