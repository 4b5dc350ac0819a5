"""`videosearch status`."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import typer
from rich.filesize import decimal

from cli import exits, output
from cli.pages import collect
from cli.problems import Health, Problem, Status, problems
from cli.settings import Services
from services.common.clients.channel import Client
from services.common.clients.indexer import IndexerClient
from services.common.errors import UnavailableError, VideosearchError
from services.common.jobs import JobState
from services.common.media import Model, StoreStats

T = TypeVar("T")

COUNTED = (JobState.QUEUED, JobState.RUNNING, JobState.FAILED)


def status(as_json: output.AsJson = False) -> None:
    """Show the four services: health, model, counts, and what is wrong."""
    found, wrong = asyncio.run(_status(Services()))
    if as_json:
        output.print_json({**output.plain(found), "models_differ": found.models_differ, "problems": wrong})
    else:
        _print(found)
        for problem in wrong:
            output.tell(str(problem))
        if not wrong:
            output.tell("All is well.")
    if any(health.health != "serving" for health in found.services.values()):
        raise typer.Exit(exits.CODES[UnavailableError])


async def _status(services: Services) -> tuple[Status, list[Problem]]:
    async with (
        services.embedder() as embedder,
        services.store() as store,
        services.indexer() as indexer,
        services.search() as search,
    ):
        clients: dict[str, Client[Any]] = {"embedder": embedder, "store": store, "indexer": indexer, "search": search}
        healths = dict(zip(clients, await asyncio.gather(*map(_health, clients.values())), strict=True))
        refusals: dict[str, VideosearchError] = {}

        async def answer(name: str, asked: Awaitable[T]) -> T | None:
            try:
                return await asked
            except VideosearchError as error:
                if healths[name].health == "serving":
                    refusals[name] = error
                return None

        model, stats, jobs = await asyncio.gather(
            answer("embedder", embedder.model()), answer("store", store.stats()), answer("indexer", _jobs(indexer))
        )
    found = Status(healths, model, stats, *(jobs or (None, None)))
    return found, problems(found, refusals)


async def _health(client: Client[Any]) -> Health:
    try:
        return Health(client.address, "serving" if await client.serving() else "not serving")
    except VideosearchError as error:
        return Health(client.address, "unreachable", str(error))


async def _jobs(indexer: IndexerClient) -> tuple[dict[JobState, int], int]:
    """By state, and how many have failed within a day."""
    jobs = await collect(lambda size, token: indexer.jobs(size, token, COUNTED))
    counts, yesterday = Counter(job.state for job in jobs), datetime.now(UTC) - timedelta(days=1)
    lately = sum(job.state is JobState.FAILED and bool(job.end_time and job.end_time > yesterday) for job in jobs)
    return {state: counts[state] for state in COUNTED}, lately


def _print(found: Status) -> None:
    details = {
        "embedder": _model_line(found.model),
        "store": _store_line(found.store),
        "indexer": _jobs_line(found.jobs),
    }
    rows = [(name, service.address, service.health, details.get(name, "")) for name, service in found.services.items()]
    output.print_table(("service", "address", "health", "details"), rows)


def _model_line(model: Model | None) -> str:
    if model is None:
        return ""
    how = f"{model.dimension} dimensions, {model.back_end} {model.precision} on {model.device}"
    return f"{model.name}, fingerprint {model.fingerprint}, {how}"


def _store_line(stats: StoreStats | None) -> str:
    if stats is None:
        return ""
    counts = {"video": stats.video_count, "scene": stats.scene_count, "sample": stats.sample_count}
    return ", ".join([*(output.counted(n, noun) for noun, n in counts.items()), decimal(stats.disk_size_bytes)])


def _jobs_line(jobs: Mapping[JobState, int] | None) -> str:
    return "" if jobs is None else ", ".join(f"{count} {state}" for state, count in jobs.items()) + " jobs"
