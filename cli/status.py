"""`videosearch status`."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import typer
from rich.filesize import decimal

from cli import exits, output
from cli.pages import collect
from cli.settings import Services
from services.common.clients.channel import Client
from services.common.clients.indexer import IndexerClient
from services.common.errors import UnavailableError, VideosearchError
from services.common.jobs import JobState
from services.common.media import Model, StoreStats

T = TypeVar("T")

COUNTED = (JobState.QUEUED, JobState.RUNNING, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class Health:
    address: str
    health: Literal["serving", "not serving", "unreachable"]
    reason: str = ""
    """Why it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Status:
    """What could be learned; None is what could not."""

    services: dict[str, Health]
    model: Model | None
    store: StoreStats | None
    jobs: dict[JobState, int] | None

    @property
    def models_differ(self) -> bool:
        """Whether the store's embeddings are of another model than the embedder serves, so that no search works."""
        return bool(self.model and self.store and self.store.model and self.store.model != self.model.fingerprint)


def status(as_json: output.AsJson = False) -> None:
    """Show the four services: health, model, counts."""
    found = asyncio.run(_status(Services()))
    if as_json:
        output.print_json({**output.plain(found), "models_differ": found.models_differ})
    else:
        _print(found)
    if any(health.health != "serving" for health in found.services.values()):
        raise typer.Exit(exits.CODES[UnavailableError])


async def _status(services: Services) -> Status:
    async with (
        services.embedder() as embedder,
        services.store() as store,
        services.indexer() as indexer,
        services.search() as search,
    ):
        clients: dict[str, Client[Any]] = {"embedder": embedder, "store": store, "indexer": indexer, "search": search}
        healths = await asyncio.gather(*map(_health, clients.values()))
        model, stats, jobs = await asyncio.gather(
            _if_known(embedder.model()), _if_known(store.stats()), _if_known(_job_counts(indexer))
        )
    return Status(dict(zip(clients, healths, strict=True)), model, stats, jobs)


async def _health(client: Client[Any]) -> Health:
    try:
        return Health(client.address, "serving" if await client.serving() else "not serving")
    except VideosearchError as error:
        return Health(client.address, "unreachable", str(error))


async def _if_known(answer: Awaitable[T]) -> T | None:
    try:
        return await answer
    except VideosearchError:
        return None


async def _job_counts(indexer: IndexerClient) -> dict[JobState, int]:
    jobs = await collect(lambda size, token: indexer.jobs(size, token, COUNTED))
    counts = Counter(job.state for job in jobs)
    return {state: counts[state] for state in COUNTED}


def _print(found: Status) -> None:
    details = {
        "embedder": _model_line(found.model),
        "store": _store_line(found.store),
        "indexer": _jobs_line(found.jobs),
    }
    rows = [(name, service.address, service.health, details.get(name, "")) for name, service in found.services.items()]
    output.print_table(("service", "address", "health", "details"), rows)
    for service in found.services.values():
        if service.reason:
            output.tell(service.reason)
    if found.store and found.store.read_only_reason:
        output.tell(f"The store takes no writes: {found.store.read_only_reason}")
    if found.models_differ and found.model and found.store:
        output.tell(
            f"The store holds embeddings of model {found.store.model}, the embedder serves {found.model.fingerprint}: "
            "searches are refused. Serve that model again, or delete the videos and index them anew."
        )


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


def _jobs_line(jobs: dict[JobState, int] | None) -> str:
    return "" if jobs is None else ", ".join(f"{count} {state}" for state, count in jobs.items()) + " jobs"
