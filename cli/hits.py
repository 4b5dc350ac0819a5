"""Hits, as tables and as JSON."""

from collections.abc import Iterator

from cli import output
from cli.wanted import TRUNCATED
from services.common.media import SceneHit, VideoHit
from services.common.ranking import FilteredCounts, RankedScenes, RankedVideos

COLUMNS = ("rank", "score", "video", "scene", "best moment")
NUMBERS = ("rank", "score")
TIMES = ("scene", "best moment")


def show(results: RankedVideos | RankedScenes, *, skipped: int = 0, as_json: bool) -> None:
    """Print hits, whose ranks begin after the `skipped`; to stderr, what else is to be known of them."""
    if results.query_truncated:
        output.tell(TRUNCATED)
    if as_json:
        plain = output.plain(results)
        del plain["next_cursor"]  # kilobytes that no option takes
        output.print_json(plain)
        return
    if results.hits:
        output.print_table(COLUMNS, _rows(results, skipped + 1), right=NUMBERS, whole=TIMES)
    else:
        output.tell("Nothing more found." if skipped else "Nothing found.")
    if left_out := _left_out(results.filtered):
        output.tell(f"Left out: {left_out}.")
    if results.next_cursor:
        output.tell(f"More: add --skip {skipped + len(results.hits)}")


def _rows(results: RankedVideos | RankedScenes, first_rank: int) -> list[list[str]]:
    if isinstance(results, RankedVideos):
        return [row for rank, hit in enumerate(results.hits, first_rank) for row in _video_rows(rank, hit)]
    labels = {video.video_id: output.label(video) for video in results.videos}
    return [_row(str(rank), hit, labels[hit.video_id]) for rank, hit in enumerate(results.hits, first_rank)]


def _video_rows(rank: int, hit: VideoHit) -> Iterator[list[str]]:
    """A row for each scene. The first is the video's too, unless the video's score is not that scene's."""
    scenes = list(hit.scenes)
    if scenes and scenes[0].score == hit.score:
        yield _row(str(rank), scenes.pop(0), output.label(hit.video))
    else:
        yield [str(rank), _score(hit.score), output.label(hit.video), "", ""]
    for scene in scenes:
        yield _row("", scene, "")


def _row(rank: str, hit: SceneHit, label: str) -> list[str]:
    return [rank, _score(hit.score), label, output.span(hit.segment), output.timecode(hit.best_offset_ns)]


def _score(score: float) -> str:
    return f"{score:.3f}"


def _left_out(counts: FilteredCounts) -> str:
    """What was left out and why; empty if nothing was."""
    reasons = (
        (counts.video_count, "video", "by the filter or as named"),
        (counts.scene_count, "scene", "outside the window or as named"),
        (counts.low_score_count, "hit", "below the cut-off"),
        (counts.duplicate_count, "near-duplicate", ""),
    )
    return ", ".join(f"{output.counted(count, noun)} {reason}".rstrip() for count, noun, reason in reasons if count)
