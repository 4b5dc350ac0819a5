"""What `videosearch status` finds wrong, and what to do about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rich.filesize import decimal

from services.common.errors import ForbiddenError, UnauthenticatedError, VideosearchError
from services.common.jobs import JobState
from services.common.media import Model, StoreStats

RUNBOOK = "docs/runbook.md"

LOW_DISK_BYTES = 2_000_000_000
"""As in the alert."""


@dataclass(frozen=True, slots=True)
class Health:
    address: str
    health: Literal["serving", "not serving", "unreachable"]
    reason: str = ""
    """Why it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Status:
    """What could be learned; None is what could not."""

    services: Mapping[str, Health]
    model: Model | None
    store: StoreStats | None
    jobs: Mapping[JobState, int] | None
    failed_lately: int | None
    """Jobs that have failed within the last day."""

    @property
    def models_differ(self) -> bool:
        """Whether the store's embeddings are of another model than the embedder serves, so that no search works."""
        return bool(self.model and self.store and self.store.model and self.store.model != self.model.fingerprint)


@dataclass(frozen=True, slots=True)
class Problem:
    summary: str
    action: str
    runbook: str
    """Where the runbook says more."""

    def __str__(self) -> str:
        return f"{self.summary} {self.action} See {self.runbook}."


def problems(found: Status, refusals: Mapping[str, VideosearchError]) -> list[Problem]:
    """`refusals` are what services that serve have answered instead of what they were asked."""
    return [
        Problem(summary, action, f"{RUNBOOK}#{section}")
        for summary, action, section in (
            *_of_services(found.services),
            *_of_refusals(refusals),
            *(_of_models(found.model, found.store) if found.models_differ and found.model and found.store else ()),
            *(_of_store(found.store) if found.store else ()),
            *(_of_jobs(found.jobs, found.failed_lately or 0) if found.jobs else ()),
        )
    ]


def _of_services(services: Mapping[str, Health]) -> Iterator[tuple[str, str, str]]:
    for name, service in services.items():
        if service.health == "unreachable":
            start = f"Start it, or set VIDEOSEARCH_{name.upper()}_ADDRESS."
            yield f"The {name} cannot be reached: {service.reason}.", start, "unreachable"
        elif service.health == "not serving":
            yield f"The {name} at {service.address} runs and is not serving.", "Its log says why.", "not-serving"


def _of_refusals(refusals: Mapping[str, VideosearchError]) -> Iterator[tuple[str, str, str]]:
    for name, error in refusals.items():
        if isinstance(error, UnauthenticatedError | ForbiddenError):
            token = "Set VIDEOSEARCH_TOKEN or VIDEOSEARCH_TOKEN_FILE to a token that it takes."  # noqa: S105 - a hint
            yield f"The {name} refuses you: {error}.", token, "unauthenticated"
        else:
            yield f"The {name} did not answer: {error}.", "Try again; its log says more.", "errors"


def _of_models(model: Model, store: StoreStats) -> Iterator[tuple[str, str, str]]:
    yield (
        f"The store holds embeddings of model {store.model}, the embedder serves {model.fingerprint}: "
        "searches are refused.",
        "Serve that model again, move the store to this one, or delete the videos and index them anew.",
        "model-mismatch",
    )


def _of_store(store: StoreStats) -> Iterator[tuple[str, str, str]]:
    if store.read_only_reason:
        yield f"The store takes no writes: {store.read_only_reason}.", "Stop and repair it.", "store-read-only"
    if store.approximate_failure:
        reason = f"The store's approximate index has failed: {store.approximate_failure}."
        yield reason, "Searches are exact and slower; it is tried again by itself.", "approximate-index"
    if store.disk_free_bytes < LOW_DISK_BYTES:
        yield f"The store's disk has {decimal(store.disk_free_bytes)} left.", "Make room.", "disk-full"


def _of_jobs(jobs: Mapping[JobState, int], failed_lately: int) -> Iterator[tuple[str, str, str]]:
    if failed_lately:
        action = "`videosearch jobs list --state failed` says why, `videosearch jobs restart ID` tries again."
        yield f"Jobs have failed within a day: {failed_lately}.", action, "jobs-failing"
    if jobs[JobState.QUEUED] and not jobs[JobState.RUNNING]:
        action = "`videosearch jobs list --state queued` says why their attempts have failed, if any have."
        yield f"Jobs wait and none is worked on: {jobs[JobState.QUEUED]}.", action, "jobs-stuck"
