"""Each problem that `videosearch status` knows, and where the runbook answers it."""

from dataclasses import replace
from pathlib import Path

from cli.problems import LOW_DISK_BYTES, RUNBOOK, Health, Status, problems
from services.common.errors import DeadlineError, UnauthenticatedError
from services.common.jobs import JobState
from services.common.media import Model, StoreStats
from tests.unit.test_dashboard import anchors

ROOT = Path(__file__).parents[2]
MODEL = Model("lite", "f1", 8, 224, 64, 1.0, "cpu", "float32", "torch")
SERVING = {name: Health("here:1", "serving") for name in ("embedder", "store", "indexer", "search")}
NO_JOBS = dict.fromkeys(JobState, 0)


def stats(**changes):
    sound = {"disk_size_bytes": 1, "approximate_sample_count": 0, "read_only_reason": "", "disk_free_bytes": 10**12}
    return StoreStats(1, 1, 1, "f1", 8, **{**sound, **changes})


def sections(found, **refusals):
    return [problem.runbook.removeprefix(f"{RUNBOOK}#") for problem in problems(found, refusals)]


def test_nothing_is_wrong_with_what_is_well():
    assert sections(Status(SERVING, MODEL, stats(), NO_JOBS, 0)) == []


def test_an_empty_store_fits_any_model():
    empty = StoreStats(0, 0, 0, "", 0, 0, 0, "", disk_free_bytes=10**12)
    assert sections(Status(SERVING, MODEL, empty, NO_JOBS, 0)) == []


def test_all_that_can_be_wrong_is_told_in_its_order_and_the_runbook_has_it():
    away = SERVING | {"search": Health("here:1", "not serving"), "embedder": Health("here:2", "unreachable", "gone")}
    bad = stats(
        read_only_reason="a flipped bit", approximate_failure="MemoryError: ", disk_free_bytes=LOW_DISK_BYTES - 1
    )
    found = Status(away, replace(MODEL, fingerprint="f2"), bad, NO_JOBS | {JobState.QUEUED: 2}, 3)
    refused = {"store": UnauthenticatedError("no token"), "indexer": DeadlineError("too slow")}
    told = sections(found, **refused)
    assert told == [
        *("unreachable", "not-serving", "unauthenticated", "errors", "model-mismatch"),
        *("store-read-only", "approximate-index", "disk-full", "jobs-failing", "jobs-stuck"),
    ]
    assert set(told) <= anchors(ROOT / RUNBOOK)


def test_what_is_not_known_is_no_problem():
    assert sections(Status(SERVING, None, None, None, None)) == []
