import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cli import report
from cli.curves import Curve
from cli.peaks import peaks
from services.common.media import SceneHit, Segment, TimelinePoint, VideoHit
from services.common.ranking import ImagePart, MomentPart, RankedScenes, RankedVideos, ScenePart, TextPart, VideoPart
from tests import browsers
from tests.browsers import Read
from tests.stores import SECOND, video

HOSTILE = """<script>document.title = "ran"</script><img src=x onerror='x'>"'&<b>"""

RED, GREEN, BLUE = (0, 0, 220), (0, 180, 0), (220, 0, 0)  # as opencv has them: blue, green, red

SHADE, DOT = (191, 231, 251), (12, 65, 194)  # of hits in a curve, in light

PLAIN = str.maketrans("\N{MINUS SIGN}\N{EN DASH}\N{MULTIPLICATION SIGN}", "--x")

WANTED = (TextPart("a butterfly"),)


def plain_image(color, suffix=".jpg") -> bytes:
    return cv2.imencode(suffix, np.full((90, 160, 3), color, np.uint8))[1].tobytes()


def hit(video_id="v", ordinal=0, thumbnail=b"", **fields) -> SceneHit:
    """Of a scene of two seconds, with the best moment in its middle."""
    start_ns = 2 * ordinal * SECOND
    segment = Segment(start_ns, start_ns + 2 * SECOND)
    return SceneHit(video_id, ordinal, segment, 0.25, start_ns + SECOND, thumbnail=thumbnail, **fields)


def found(*hits: SceneHit, **fields) -> RankedVideos:
    """One video of ten seconds."""
    its_video = replace(video(title="Title", decoded_ns=10 * SECOND), **fields)
    return RankedVideos((VideoHit(its_video, 0.5, hits),))


def page(results=None, wanted=WANTED, scores=(0.1, 0.3, 0.2)) -> str:
    """The report; each video's curve has these scores, spread over ten seconds."""
    results = results or found(hit())
    points = [TimelinePoint(10 * SECOND * n // len(scores), n, score) for n, score in enumerate(scores)]
    curve = Curve(points, 10 * SECOND) if points else None
    cards = [replace(card, curve=curve, peaks=peaks(points, 5)) for card in report.cards_of(results)]
    return report.render(wanted, results, cards)


def contrast(one: str, other: str) -> float:
    """Of two colors #rrggbb or #rgb: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

    def luminance(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
        parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def is_near(picture: browsers.Picture, color) -> np.ndarray:
    """Where it has this color, but for what JPEG makes of it."""
    return np.abs(picture.astype(int) - color).max(axis=2) <= 12


@pytest.fixture
def shown(tmp_path):
    """A page as a file."""

    def write(html: str) -> Path:
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        return file

    return write


# what it says


def test_the_query_is_the_title_in_words():
    wanted = (
        *(TextPart("a butterfly"), TextPart("rain", -0.5), ImagePart(b"unknown kind", 2.0)),
        *(VideoPart("v"), ScenePart("x", 3, -1), MomentPart("w", 62 * SECOND)),
    )
    words = "a butterfly - rain x 0.5 + a picture x 2 + like Title - like scene 3 of x + like w at 00:01:02.000"
    read = Read(page(wanted=wanted)).text.translate(PLAIN)
    assert f"{words} - videosearch" in read
    assert f"found for {words} 1 video" in read


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "jpeg"), (".png", "png"), (".webp", "webp")])
def test_a_picture_of_the_query_is_shown(suffix, kind):
    (image,) = Read(page(wanted=(ImagePart(plain_image(RED, suffix)),))).all("img")
    assert image["src"].startswith(f"data:image/{kind};base64,")
    assert image["alt"] == "a picture"


def test_a_large_picture_of_the_query_is_only_named():
    assert len(page(wanted=(ImagePart(b"\xff\xd8\xff" + bytes(2 << 20)),))) < 20_000


def test_a_card_has_what_is_known_of_its_video_and_hits():
    text = Read(page(found(hit(ordinal=2), hit(ordinal=4, merged_before=1, merged_after=2)))).text.translate(PLAIN)
    assert "1 Title 0.500 00:00:10.000 v /videos/v.mp4" in text
    assert "1 00:00:05.000 0.250 scene 2, 00:00:04.000-00:00:06.000" in text
    assert "2 00:00:09.000 0.250 scenes 3 to 6, " in text


def test_scenes_are_grouped_under_their_videos_and_keep_their_ranks():
    results = RankedScenes((hit("b", 1), hit("a", 0), hit("b", 3)), (video("b"), video("a")))
    text = Read(page(results)).text
    assert "3 scenes of 2 videos" in text
    assert re.findall(r"/videos/(.)\.mp4|(\d) 00:00:0(\d)\.000 0\.250", text) == [
        *(("b", "", ""), ("", "1", "3"), ("", "3", "7")),
        *(("a", "", ""), ("", "2", "1")),
    ]


def test_a_thumbnail_says_what_it_shows():
    (image,) = Read(page(found(hit(thumbnail=plain_image(RED)), title='"A" & B'))).all("img")
    assert image["alt"] == '"A" & B, scene 0'


def test_a_scene_without_a_picture_has_a_place_holder():
    read = Read(page(found(hit())))
    assert not read.all("img")
    assert "no picture kept" in read.text


def test_a_video_without_a_curve_says_so():
    read = Read(page(scores=()))
    assert not read.all("svg")
    assert "No curve" in read.text


def test_no_hits_are_a_page_that_says_so():
    assert "Nothing found." in Read(page(RankedVideos(()))).text


def test_a_query_that_was_cut_off_is_told():
    assert "its end did not count" in Read(page(replace(found(), query_truncated=True))).text


# the curve


def test_hits_moments_and_peaks_are_placed_by_time():
    read = Read(page(found(hit(ordinal=1)), scores=(0.1, 0.3, 0.1, 0.2, 0.1)))
    (span,) = read.all("rect")
    assert (span["x"], span["width"]) == ("20.000%", "20.000%")
    assert [moment["cx"] for moment in read.all("circle")] == ["30.000%"]
    assert [peak["x"] for peak in read.all("text", **{"class": "peak"})] == ["20.000%", "60.000%"]
    assert "A 00:00:02.000 0.300 B 00:00:06.000 0.200" in read.text


def test_the_curve_goes_from_its_least_score_to_its_greatest():
    (line,) = Read(page(scores=(0.1, 0.3, 0.2))).all("polyline")
    points = [tuple(map(float, point.split(","))) for point in line["points"].split()]
    places, heights = zip(*points, strict=True)
    assert places == (0, 0, 333.33, 666.67, 1000)
    assert heights[1] > heights[3] > heights[2]  # counted from above
    assert heights[3] == pytest.approx((heights[1] + heights[2]) / 2, abs=0.01)


def test_the_curve_is_described_for_those_who_do_not_see_it():
    read = Read(page())
    assert (
        "Relevance of Title over its 00:00:10.000: scores from 0.100 to 0.300, the highest at 00:00:03.333" in read.text
    )
    (drawing,) = read.all("svg", role="img")
    assert read.all("title", id=drawing["aria-labelledby"])


def test_a_curve_of_very_many_points_makes_no_large_page():
    scores = np.random.default_rng(0).random(100_000)
    scores[54_321] = 1.5
    html = page(scores=scores)
    assert len(html) < 50_000
    assert "00:00:05.432" in html


# safety


@pytest.mark.parametrize(
    "results",
    [
        found(hit(HOSTILE), video_id=HOSTILE, title=HOSTILE, uri=HOSTILE),
        RankedScenes((hit(HOSTILE, thumbnail=plain_image(RED)),), (video(HOSTILE, title=HOSTILE),)),
    ],
)
def test_texts_of_strangers_are_no_markup(results):
    wanted = (TextPart(HOSTILE), VideoPart(HOSTILE), ScenePart(HOSTILE, 1), MomentPart(HOSTILE, 0))
    read, harmless = Read(page(results, wanted)), Read(page())
    assert {tag for tag, _ in read.elements} <= {tag for tag, _ in harmless.elements} | {"img"}
    assert not [name for _, found in read.elements for name in found if name.startswith("on")]
    assert read.text.count(HOSTILE) >= 8


def test_characters_that_a_page_must_not_have_are_replaced():
    html = page(found(title="a\x00b\x1bc\N{RIGHT-TO-LEFT OVERRIDE}d"))
    assert "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d" in html


def test_the_page_may_load_nothing_and_run_nothing():
    read = Read(page(found(hit(thumbnail=plain_image(RED)))))
    (policy,) = read.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    addresses = [value for _, found in read.elements for name, value in found.items() if name in ("src", "href")]
    assert [address[:5] for address in addresses] == ["data:"]
    assert not re.search(r"@import|url\(", page())


# looks


def test_texts_can_be_read_in_light_and_dark():
    themes = re.findall(
        r"--page: (#\w+); --card: (#\w+); --ink: (#\w+); --muted: (#\w+);.*?--accent: (#\w+);", page(), re.DOTALL
    )
    assert len(themes) == 2
    for ground_of_page, ground_of_card, *inks in themes:
        for ink in inks:
            assert min(contrast(ink, ground_of_page), contrast(ink, ground_of_card)) >= 4.5


@browsers.needed
def test_a_browser_shows_thumbnails_of_different_sizes_and_the_query_picture(shown):
    html = page(
        found(hit(thumbnail=plain_image(RED)), hit(ordinal=1, thumbnail=plain_image(GREEN))),
        (ImagePart(plain_image(BLUE, ".png")),),
    )
    picture = browsers.picture(shown(html), 1000, 900)
    assert picture.shape == (900, 1000, 3)
    for color, least in ((RED, 20_000), (GREEN, 20_000), (BLUE, 2_000)):
        assert is_near(picture, color).sum() > least


@browsers.needed
def test_a_browser_shows_the_curve_over_the_whole_time_axis_and_height(shown):
    file = shown(page(found(), scores=(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3)))
    blue, _, red = np.moveaxis(browsers.picture(file, 1000, 600).astype(int), 2, 0)
    rows, columns = np.nonzero((blue - red)[200:] > 40)  # below the video's score, which is as blue as the curve's line
    left, right = columns.min(), columns.max()
    assert (left, right) == (pytest.approx(100, abs=10), pytest.approx(938, abs=4))
    assert rows.max() - rows.min() == pytest.approx(85, abs=3)
    assert (columns[rows.argmin()] - left) / (right - left) == pytest.approx(7 / 8, abs=0.01)


@browsers.needed
def test_a_browser_shades_the_hits_and_dots_their_best_moments(shown):
    picture = browsers.picture(shown(page(found(hit(ordinal=3)))), 1000, 900)
    shaded = np.flatnonzero(is_near(picture, SHADE).sum(axis=0) > 20)
    dotted = np.nonzero(is_near(picture, DOT).sum(axis=0))[0]
    plot_left, plot_right = 102, 939
    places = np.array([shaded.min(), shaded.max(), dotted.max() - 4]) - plot_left
    assert places / (plot_right - plot_left) == pytest.approx([0.6, 0.8, 0.7], abs=0.01)


@browsers.needed
def test_a_browser_shows_it_dark_to_who_prefers_that(shown):
    file = shown(page())
    light, dark = browsers.picture(file, 600, 600), browsers.picture(file, 600, 600, dark=True)
    assert light.mean() > 200
    assert dark.mean() < 60


@browsers.needed
@pytest.mark.parametrize("text", ["word " * 50, "unbroken" * 100])
def test_nothing_is_wider_than_a_phone(shown, text):
    hits = found(*(hit(ordinal=n, thumbnail=plain_image(RED)) for n in range(4)), title=text, uri=text)
    assert browsers.needed_width(shown(page(hits, (TextPart(text),))), 400) == 400


@browsers.needed
def test_a_browser_finds_texts_of_strangers_to_be_texts(shown):
    dom = browsers.document(shown(page(found(hit(), title=HOSTILE, uri=HOSTILE), (TextPart(HOSTILE),))))
    read = Read(dom)
    assert not read.all("script")
    assert not read.all("img")
    assert read.text.count(HOSTILE) >= 4


@browsers.needed
def test_a_browser_runs_no_script_even_if_one_got_in(shown):
    script = "<script>document.title = 'ran'</script>"
    html = page().replace("</body>", f"{script}</body>")
    assert "<title>ran</title>" not in browsers.document(shown(html))
    allowed = re.sub(r"<meta http-equiv.*>", "", html)
    assert "<title>ran</title>" in browsers.document(shown(allowed))
