"""Jobs as they go on: bars in a terminal, lines elsewhere."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli import output
from services.common.clients.indexer import IndexerClient
from services.common.errors import TRANSIENT
from services.common.jobs import IndexJob, JobState
from services.common.retry import patiently

Show: TypeAlias = Callable[[IndexJob], None]
"""Takes each state of each job that is followed."""

PATIENCE_S = 120.0
"""How long an indexer that went away is waited for: its jobs go on when it is back."""

RECONNECT_AFTER_S = 0.5


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
        ids: dict[str, TaskID] = {}

        def show(job: IndexJob) -> None:
            if job.job_id not in ids:
                ids[job.job_id] = bars.add_task(output.visible(name(job.uri)), start=False, doing="")
            bar = ids[job.job_id]
            if job.state != JobState.QUEUED:
                bars.start_task(bar)
            if job.state.ended:
                bars.stop_task(bar)
            bars.update(bar, completed=job.progress_percent, doing=_doing(job))

        yield show


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
    return f"{doing}, {output.counted(job.scene_count, 'scene')}" if job.scene_count else doing


def name(uri: str) -> str:
    """What a person calls the file."""
    return PurePosixPath(uri).name or uri


def summary(job: IndexJob) -> str:
    """What became of a job, in one line."""
    if job.state == JobState.SUCCEEDED and job.end_time:
        seconds = (job.end_time - job.create_time).total_seconds()
        scenes = output.counted(job.scene_count, "scene")
        return f"{name(job.uri)}: indexed as {job.video_id}, {scenes} in {seconds:.1f} s"
    if job.state == JobState.FAILED:
        return f"{name(job.uri)}: failed: {job.error}"
    return f"{name(job.uri)}: {job.state}, job {job.job_id}"
