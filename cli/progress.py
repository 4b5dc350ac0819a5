"""Jobs as they go on: bars in a terminal, lines elsewhere."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli import output
from cli.pace import Pace, Speed
from services.common.clients.indexer import IndexerClient
from services.common.errors import TRANSIENT
from services.common.jobs import IndexJob, JobState
from services.common.retry import patiently

Show: TypeAlias = Callable[[IndexJob], None]
"""Takes each state of each job that is followed."""

PATIENCE_S = 120.0
"""How long an indexer that went away is waited for: its jobs go on when it is back."""

RECONNECT_AFTER_S = 0.5

ENDED_IN_SIGHT = 10
"""Bars of jobs that have ended; the newest stay."""


async def follow(indexer: IndexerClient, job_id: str, show: Show) -> IndexJob:
    """Show a job's states until it has ended, through restarts of the indexer, and return the last."""
    last: IndexJob | None = None
    while True:
        try:
            async for job in indexer.watch_job(job_id):
                show(job)
                last = job
            if last and last.state.ended:
                return last
        except TRANSIENT as error:
            output.tell(f"lost sight of job {job_id}, trying again: {error}")
        await asyncio.sleep(RECONNECT_AFTER_S)
        await patiently(lambda: indexer.job(job_id), PATIENCE_S)


def display() -> AbstractContextManager[Show]:
    console = output.console(stderr=True)
    return _bars(console) if console.is_terminal else _lines()


@contextmanager
def json_lines() -> Iterator[Show]:
    """One JSON object a line to stdout for each state."""
    yield output.print_json


@contextmanager
def _bars(console: Console) -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    with Progress(*columns, console=console, redirect_stdout=False) as bars:
        shown: dict[str, tuple[TaskID, Pace]] = {}

        def show(job: IndexJob) -> None:
            if job.job_id not in shown:
                task = bars.add_task(output.visible(name(job.uri)), start=False, visible=False, doing="")
                shown[job.job_id] = task, Pace()
            task, pace = shown[job.job_id]
            if job.state != JobState.QUEUED:
                bars.start_task(task)
            if job.state.ended:
                bars.stop_task(task)
                _hide_oldest(bars)
            doing = ", ".join((_doing(job), *_speed(pace.speed(job))))
            bars.update(task, completed=job.progress_percent, visible=_worth_a_bar(job), doing=output.visible(doing))

        yield show


def _worth_a_bar(job: IndexJob) -> bool:
    """Thousands may wait, or turn out to be unchanged; the command's results name them all."""
    return job.state != JobState.QUEUED and not job.unchanged


def _hide_oldest(bars: Progress) -> None:
    """Of the jobs that have ended, only the last few stay in sight."""
    ended = [task for task in bars.tasks if task.visible and task.stop_time is not None]
    for task in ended[:-ENDED_IN_SIGHT]:
        bars.update(task.id, visible=False)


def _speed(speed: Speed | None) -> Iterator[str]:
    if speed:
        yield f"{speed.frames_per_s:.0f} frames/s"
        yield f"{speed.times_real_time:.1f}\N{MULTIPLICATION SIGN} real time"
        if speed.left_s is not None:
            yield f"{timedelta(seconds=round(speed.left_s))} left"


@contextmanager
def _lines() -> Iterator[Show]:
    """A line when a job turns to something else, for logs and pipes."""
    before: dict[str, str] = {}

    def show(job: IndexJob) -> None:
        doing = job.stage if job.state == JobState.RUNNING else job.state
        if before.get(job.job_id) != doing:
            before[job.job_id] = doing
            output.tell(f"{name(job.uri)}: {_doing(job)}")

    yield show


def _doing(job: IndexJob) -> str:
    doing = job.stage if job.state == JobState.RUNNING else job.state
    if job.next_attempt_time:
        return f"{doing} again after attempt {job.attempt_count}: {job.error}"
    return f"{doing}, {output.counted(job.scene_count, 'scene')}" if job.scene_count else doing


def name(uri: str) -> str:
    """What a person calls the file."""
    return PurePosixPath(uri).name or uri


def summary(job: IndexJob) -> str:
    """What became of a job, in one line."""
    if job.unchanged:
        return f"{name(job.uri)}: unchanged, was indexed already as {job.video_id}"
    if job.state == JobState.SUCCEEDED and job.end_time:
        seconds = (job.end_time - job.create_time).total_seconds()
        scenes = output.counted(job.scene_count, "scene")
        return f"{name(job.uri)}: indexed as {job.video_id}, {scenes} in {seconds:.1f} s"
    if job.state == JobState.FAILED:
        return f"{name(job.uri)}: failed: {job.error}"
    return f"{name(job.uri)}: {job.state}, job {job.job_id}"
