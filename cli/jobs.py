"""`videosearch jobs`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from cli import exits, output, progress
from cli.pages import Most, collect
from cli.settings import Services
from services.common.clients.indexer import IndexerClient
from services.common.jobs import IndexJob, JobState

app = typer.Typer(help="Indexing jobs.", no_args_is_help=True)

COLUMNS = ("job", "state", "stage", "progress", "scenes", "video", "created", "uri")
NUMBERS = ("progress", "scenes")

JobIds = Annotated[list[str], typer.Argument(metavar="ID")]


@app.command("list")
def list_jobs(
    most: Most = None,
    state: Annotated[list[JobState] | None, typer.Option(help="Only jobs in this state. May be repeated.")] = None,
    as_json: output.AsJson = False,
) -> None:
    """List jobs, newest first."""
    _print_jobs(asyncio.run(_jobs(most, state or ())), as_json=as_json)


@app.command()
def show(job_id: Annotated[str, typer.Argument(metavar="ID")], as_json: output.AsJson = False) -> None:
    """Show one job."""
    job = asyncio.run(_job(job_id))
    if as_json:
        output.print_json(job)
        return
    _print_table([job])


@app.command()
def cancel(job_ids: JobIds, as_json: output.AsJson = False) -> None:
    """Stop jobs. What the store holds of their videos stays as it was."""
    _print_jobs(asyncio.run(_each(job_ids, IndexerClient.cancel_job)), as_json=as_json)


@app.command()
def restart(job_ids: JobIds, as_json: output.AsJson = False) -> None:
    """Queue jobs again that have failed or were cancelled. They go on where they stopped."""
    _print_jobs(asyncio.run(_each(job_ids, IndexerClient.restart_job)), as_json=as_json)


@app.command()
def watch(
    job_ids: JobIds,
    as_json: Annotated[bool, typer.Option("--json", help="Print each change as a line of JSON.")] = False,
) -> None:
    """Follow jobs until they have ended. Ctrl-C leaves them running."""
    jobs = asyncio.run(_watch(job_ids, as_json=as_json))
    if not as_json:
        for job in jobs:
            output.print_line(progress.summary(job))
    if any(job.state != JobState.SUCCEEDED for job in jobs):
        raise typer.Exit(exits.FAILED)


async def _jobs(most: int | None, states: Sequence[JobState]) -> list[IndexJob]:
    async with Services().indexer() as indexer:
        return await collect(lambda size, token: indexer.jobs(size, token, states), most)


async def _job(job_id: str) -> IndexJob:
    async with Services().indexer() as indexer:
        return await indexer.job(job_id)


async def _each(job_ids: Sequence[str], act: Callable[[IndexerClient, str], Awaitable[IndexJob]]) -> list[IndexJob]:
    async with Services().indexer() as indexer:
        return [await act(indexer, job_id) for job_id in job_ids]


async def _watch(job_ids: Sequence[str], *, as_json: bool) -> list[IndexJob]:
    async with Services().indexer() as indexer:
        with progress.json_lines() if as_json else progress.display() as show:
            return await asyncio.gather(*(progress.follow(indexer, job_id, show) for job_id in job_ids))


def _print_jobs(jobs: Sequence[IndexJob], *, as_json: bool) -> None:
    if as_json:
        output.print_json(jobs)
    else:
        _print_table(jobs)


def _print_table(jobs: Sequence[IndexJob]) -> None:
    errors = any(job.error for job in jobs)
    rows = [
        (
            job.job_id,
            job.state,
            "" if job.state.ended else job.stage,
            f"{job.progress_percent}%",
            str(job.scene_count),
            job.video_id,
            output.local_time(job.create_time),
            job.uri,
            *((job.error,) if errors else ()),
        )
        for job in jobs
    ]
    output.print_table((*COLUMNS, "reason") if errors else COLUMNS, rows, right=NUMBERS)
