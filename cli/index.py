"""`videosearch index`."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import exits, output, progress
from cli.metadata import metadata_of
from cli.settings import Services
from cli.sources import is_utf8, uris_of
from services.common.clients.indexer import IndexerClient, Wanted
from services.common.errors import InvalidInputError, OverloadedError, UnavailableError, VideosearchError
from services.common.jobs import IndexJob, JobState
from services.common.media import NANOSECONDS, Detection, Detector
from services.common.retry import patiently

SUBMIT_PATIENCE_S = 3.0
"""How long a submission is repeated before its failure is believed."""

PLACE_PATIENCE_S = 600.0
"""How long a video waits for a place in a full queue."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of every video of one command."""

    wanted: Wanted
    upload: bool
    wait: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video: a job, or the reason why there is none."""

    uri: str
    job: IndexJob | None = None
    error: VideosearchError | None = None


def index(  # noqa: PLR0913 - a parameter is an option of the command
    sources: Annotated[list[str], typer.Argument(metavar="PATH_OR_URL", help="Files, folders and http(s) URLs.")],
    *,
    title: Annotated[str, typer.Option(help="A title for people.", show_default="the file's name")] = "",
    meta: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="To keep with the video. May be repeated.")
    ] = None,
    video_id: Annotated[str, typer.Option("--id", help="The video's id.", show_default="from the file's bytes")] = "",
    detector: Annotated[Detector | None, typer.Option(help="How cuts are found.", show_default="adaptive")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="What makes a cut.", show_default="the detector's own")
    ] = None,
    min_scene: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="A cut this soon after another does not count.", show_default="0.6"),
    ] = None,
    max_scene: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="A scene that lasts longer is split.", show_default="30")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Index videos anew that are indexed, unchanged.")] = False,
    upload: Annotated[
        bool, typer.Option("--upload", help="Send the files, to an indexer that does not see them itself.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the videos are indexed.")] = True,
    as_json: output.AsJson = False,
) -> None:
    """Index videos. Ctrl-C leaves the jobs running."""
    uris = uris_of(sources)
    if len(uris) > 1 and (title or video_id):
        raise InvalidInputError(f"--title and --id are for one video; these are {len(uris)}")
    if upload and (urls := [uri for uri in uris if "://" in uri]):
        raise InvalidInputError(f"--upload sends files of this machine; {urls[0]} is a URL")
    wanted = Wanted(video_id=video_id, title=title, metadata=metadata_of(meta), force=force)
    if detection := _detection(detector, threshold, min_scene, max_scene):
        wanted["detection"] = detection
    accepted: list[IndexJob] = []
    try:
        outcomes = asyncio.run(_index(uris, Wish(wanted, upload=upload, wait=wait), accepted))
    except ExceptionGroup as failures:  # of its tasks; the first has stopped the others
        raise failures.exceptions[0] from None
    except KeyboardInterrupt:
        _tell_how_to_go_on(accepted)
        raise
    _print(outcomes, as_json=as_json)
    _exit(outcomes, left_out=len(uris) - len(outcomes), wait=wait)


def _detection(
    detector: Detector | None, threshold: float | None, min_scene: float | None, max_scene: float | None
) -> Detection | None:
    asked: dict[str, Any] = {}
    if detector:
        asked["detector"] = detector
    if threshold is not None:
        asked["threshold"] = threshold
    if min_scene is not None:
        asked["min_scene_ns"] = _nanoseconds("--min-scene", min_scene)
    if max_scene is not None:
        asked["max_scene_ns"] = _nanoseconds("--max-scene", max_scene)
    return Detection(**asked) if asked else None


def _nanoseconds(option: str, seconds: float) -> int:
    if not 0 <= seconds <= 86_400:
        raise InvalidInputError(f"{option} {seconds}: give seconds, 0 to 86400")
    return round(seconds * NANOSECONDS)


async def _index(uris: Sequence[str], wish: Wish, accepted: list[IndexJob]) -> list[Outcome]:
    """Submit one after another, and follow each from then on; jobs are noted in `accepted` as they come to be."""
    async with Services().indexer() as indexer:
        with progress.display() as show:
            async with asyncio.TaskGroup() as tasks:
                endings: list[asyncio.Task[Outcome]] = []
                for uri in uris:
                    outcome = await _submit(indexer, uri, wish)
                    if outcome.job:
                        accepted.append(outcome.job)
                    endings.append(tasks.create_task(_ending(indexer, outcome, show, wait=wish.wait)))
                    if isinstance(outcome.error, UnavailableError):
                        break  # the others would fail alike
    return [ending.result() for ending in endings]


async def _submit(indexer: IndexerClient, uri: str, wish: Wish) -> Outcome:
    if not is_utf8(uri):
        refusal = InvalidInputError("not indexed: its path is not UTF-8; rename it")
        return Outcome(output.visible(uri), error=refusal)
    give_up = time.monotonic() + PLACE_PATIENCE_S
    wanted = Wanted(**wish.wanted, request_id=uuid.uuid4().hex)  # a repeated call starts no second job
    while True:
        try:
            job = await patiently(lambda: _call(indexer, uri, wanted, upload=wish.upload), SUBMIT_PATIENCE_S)
        except OverloadedError as error:
            if time.monotonic() >= give_up:
                reason = OverloadedError(f"no place in the queue for {PLACE_PATIENCE_S:g} s: {error}")
                return Outcome(uri, error=reason)
            output.tell(f"{progress.name(uri)}: waiting for a place: {error}")
        except VideosearchError as error:
            return Outcome(uri, error=error)
        else:
            return Outcome(uri, job)


async def _call(indexer: IndexerClient, uri: str, wanted: Wanted, *, upload: bool) -> IndexJob:
    if not upload:
        return await indexer.index_video(uri, **wanted)
    try:
        return await indexer.upload_video(Path(uri), **wanted)
    except OSError as error:
        raise InvalidInputError(f"not uploaded: it cannot be read: {error.strerror}") from None


async def _ending(indexer: IndexerClient, outcome: Outcome, show: progress.Show, *, wait: bool) -> Outcome:
    if not wait or not outcome.job:
        return outcome
    try:
        return Outcome(outcome.uri, await progress.follow(indexer, outcome.job.job_id, show))
    except VideosearchError as error:
        return Outcome(outcome.uri, outcome.job, error)


def _tell_how_to_go_on(accepted: Sequence[IndexJob]) -> None:
    if accepted:
        ids = " ".join(job.job_id for job in accepted)
        output.tell("Interrupted. What was accepted goes on:")
        output.tell(f"  follow it with  videosearch jobs watch {ids}")
        output.tell(f"  stop it with    videosearch jobs cancel {ids}")


def _print(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        output.print_json([_plain(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        if outcome.error:
            output.print_line(f"{progress.name(outcome.uri)}: {outcome.error}")
        elif outcome.job:
            output.print_line(progress.summary(outcome.job))


def _plain(outcome: Outcome) -> dict[str, Any]:
    job = output.plain(outcome.job) if outcome.job else {"job_id": None, "uri": outcome.uri}
    return {**job, "error": str(outcome.error)} if outcome.error else job


def _exit(outcomes: Sequence[Outcome], *, left_out: int, wait: bool) -> None:
    if left_out:
        output.tell(f"{left_out} of {left_out + len(outcomes)} videos were not submitted.")
    for outcome in outcomes:
        if outcome.error:
            raise typer.Exit(exits.code_of(outcome.error))
    if wait and any(outcome.job and outcome.job.state != JobState.SUCCEEDED for outcome in outcomes):
        raise typer.Exit(exits.FAILED)
