"""A job is worked on by one owner at a time, goes on when that one is gone, and is not tried for ever."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from services.common.jobs import JobStage, JobState
from services.common.media import Detection, Scene
from services.indexer import leases as module
from services.indexer.checkpoints import Basis, Kept
from services.indexer.database import Database
from services.indexer.jobs import IndexRequest, Jobs
from services.indexer.leases import MAX_CRASHES, LeaseLostError, Leases, Progress
from tests.stores import scenes, with_images

REQUEST = IndexRequest("/videos/a.mp4", "", "A", {"year": "2008"}, Detection())
BASIS = Basis("digest", "model")


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, max_queued=100)


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database, max_attempts=3)


@pytest.fixture
def other(database: Database) -> Leases:
    """Another owner at the same database."""
    return Leases(database, max_attempts=3)


@pytest.fixture
def job_id(jobs: Jobs, leases: Leases) -> str:
    """A job that `leases` has claimed."""
    job_id = jobs.add(REQUEST, "").job_id
    assert leases.claim() == (job_id, REQUEST)
    return job_id


def let_pass(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    later = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)
    monkeypatch.setattr(module, "now", lambda: later)


def test_jobs_are_claimed_in_order_and_once(jobs: Jobs, leases: Leases, other: Leases) -> None:
    added = [jobs.add(REQUEST, "").job_id for _ in range(3)]
    claimed = [owner.claim() for owner in (leases, other, leases, other)]
    assert [claim and claim[0] for claim in claimed] == [*added, None]


def test_a_claimed_job_is_running_its_first_attempt(jobs: Jobs, job_id: str) -> None:
    job = jobs.get(job_id)
    assert (job.state, job.stage, job.attempt_count) == (JobState.RUNNING, JobStage.READING, 1)


def test_progress_is_seen(jobs: Jobs, leases: Leases, job_id: str) -> None:
    leases.progress(job_id, Progress(JobStage.INDEXING, 50, 7, "v", 5, 10, 100))
    leases.progress(job_id, Progress(JobStage.INDEXING, 60, 8))
    job = jobs.get(job_id)
    assert (job.stage, job.progress_percent, job.scene_count, job.video_id) == (JobStage.INDEXING, 60, 8, "v")


def test_a_lease_that_is_renewed_stays(
    leases: Leases, other: Leases, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_pass(monkeypatch, 25)
    assert leases.renew() == {job_id}
    let_pass(monkeypatch, 50)
    assert other.claim() is None


@pytest.mark.parametrize(
    "write",
    [
        lambda leases, job_id: leases.end(job_id, JobState.SUCCEEDED),
        lambda leases, job_id: leases.postpone(job_id, "the embedder is away"),
        lambda leases, job_id: leases.progress(job_id, Progress(JobStage.STORING)),
        lambda leases, job_id: leases.keep(job_id, BASIS, Kept(scenes(1), 0)),
    ],
    ids=["end", "postpone", "progress", "keep"],
)
def test_a_lease_that_ran_out_moves_and_its_old_owner_writes_nothing(
    jobs: Jobs,
    leases: Leases,
    other: Leases,
    job_id: str,
    write: Callable[[Leases, str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_pass(monkeypatch, 31)
    assert other.claim() == (job_id, REQUEST)
    before = jobs.get(job_id)
    assert leases.renew() == set()
    with pytest.raises(LeaseLostError):
        write(leases, job_id)
    assert jobs.get(job_id) == before
    assert other.kept(job_id, BASIS).scenes == []


def test_an_owner_does_not_lose_to_itself(leases: Leases, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    let_pass(monkeypatch, 31)
    assert leases.claim() is None
    assert leases.renew() == {job_id}


def test_what_a_dead_service_worked_on_goes_on_at_once(jobs: Jobs, other: Leases, job_id: str) -> None:
    assert other.recover() == 1
    assert other.claim() == (job_id, REQUEST)
    assert jobs.get(job_id).attempt_count == 2


def test_what_is_given_back_has_not_been_tried(jobs: Jobs, leases: Leases, job_id: str) -> None:
    leases.release()
    job = jobs.get(job_id)
    assert (job.state, job.stage, job.attempt_count) == (JobState.QUEUED, JobStage.WAITING, 0)


def test_a_postponed_job_waits_for_its_time(
    jobs: Jobs, leases: Leases, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leases.postpone(job_id, "the embedder is away") is JobState.QUEUED
    job = jobs.get(job_id)
    assert (job.error, job.attempt_count) == ("the embedder is away", 1)
    assert job.next_attempt_time is not None
    assert leases.claim() is None
    due_s = leases.next_due_s()
    assert due_s is not None
    assert 0 < due_s <= 30
    let_pass(monkeypatch, due_s)
    assert leases.claim() == (job_id, REQUEST)
    assert (jobs.get(job_id).error, jobs.get(job_id).next_attempt_time) == ("the embedder is away", None)


def test_without_jobs_nothing_is_due(leases: Leases) -> None:
    assert leases.next_due_s() is None


def test_another_s_lease_is_due_when_it_ends(other: Leases, job_id: str) -> None:
    assert other.next_due_s() == pytest.approx(30, abs=5)


def fail(leases: Leases, job_id: str, monkeypatch: pytest.MonkeyPatch) -> JobState:
    with monkeypatch.context() as patch:
        patch.setattr(module, "FIRST_DELAY_S", 0.0)
        state = leases.postpone(job_id, "the embedder is away")
    leases.claim()
    return state


def test_attempts_are_not_made_for_ever(
    jobs: Jobs, leases: Leases, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [fail(leases, job_id, monkeypatch) for _ in range(3)]
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    job = jobs.get(job_id)
    assert (job.state, job.error, job.attempt_count) == (JobState.FAILED, "the embedder is away", 3)


def test_a_job_that_gets_on_may_fail_as_often_again(
    leases: Leases, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        fail(leases, job_id, monkeypatch)
    leases.keep(job_id, BASIS, Kept(scenes(1), 0))
    assert fail(leases, job_id, monkeypatch) is JobState.QUEUED


def test_the_time_between_attempts_grows_to_a_limit() -> None:
    delays_s = [module.backoff(failures).total_seconds() for failures in range(1, 30)]
    assert 15 <= delays_s[0] <= 30
    assert sum(delays_s[:4]) > 200  # of the attempts that a job has by default
    assert 150 <= delays_s[-1] <= 300


def crash(database: Database) -> Leases:
    """The next service after one that went down."""
    leases = Leases(database, max_attempts=3)
    leases.recover()
    leases.claim()
    return leases


def test_a_job_that_takes_every_service_down_fails(database: Database, jobs: Jobs, job_id: str) -> None:
    for _ in range(MAX_CRASHES - 1):
        crash(database)
    assert jobs.get(job_id).state is JobState.RUNNING
    crash(database)
    job = jobs.get(job_id)
    assert (job.state, job.attempt_count) == (JobState.FAILED, MAX_CRASHES)
    assert "went down 20 times" in job.error


def test_services_that_go_down_do_not_fail_a_job_that_gets_on(database: Database, jobs: Jobs, job_id: str) -> None:
    for scene in scenes(2 * MAX_CRASHES):
        crash(database).keep(job_id, BASIS, Kept([scene], 0))
    assert jobs.get(job_id).state is JobState.RUNNING


def test_an_ended_job_says_how_and_when(jobs: Jobs, leases: Leases, job_id: str) -> None:
    leases.end(job_id, JobState.FAILED, "no such luck")
    job = jobs.get(job_id)
    assert (job.state, job.error, job.stage) == (JobState.FAILED, "no such luck", JobStage.WAITING)
    assert job.end_time is not None


def test_kept_scenes_come_back_as_they_were(leases: Leases, other: Leases, job_id: str) -> None:
    made = scenes(5)
    leases.keep(job_id, BASIS, Kept(made[:3], 0))
    leases.keep(job_id, BASIS, Kept(made[3:], 2))
    other.recover()
    other.claim()
    kept = other.kept(job_id, BASIS)
    assert [(one.ordinal, one.segment) for one in kept.scenes] == [(one.ordinal, one.segment) for one in made]
    assert _vectors(kept.scenes).tobytes() == _vectors(made).tobytes()
    assert kept.decode_errors == 2


def test_kept_images_come_back_as_they_were(leases: Leases, job_id: str) -> None:
    made = with_images(scenes(3), [b"first", b"", b"third"])
    leases.keep(job_id, BASIS, Kept([made[0], scenes(3)[1], made[2]], 0))
    kept = [[sample.image for sample in one.samples] for one in leases.kept(job_id, BASIS).scenes]
    assert kept == [[b"first", b"", b"third"], [b"", b"", b""], [b"first", b"", b"third"]]


def test_what_was_kept_before_there_were_images_can_be_gone_on_from(tmp_path: Path) -> None:
    """A database of the version before has no columns for them."""
    database = Database(tmp_path / "old")
    leases = Leases(database, max_attempts=3)
    job_id = Jobs(database, max_queued=1).add(REQUEST, "").job_id
    leases.claim()
    leases.keep(job_id, BASIS, Kept(scenes(3), 0))
    with database.begin() as connection:
        for column in ("pictures", "images"):
            connection.exec_driver_sql(f"ALTER TABLE checkpoints DROP COLUMN {column}")
    database.close()
    database = Database(tmp_path / "old")
    assert len(Leases(database, max_attempts=3).kept(job_id, BASIS).scenes) == 3
    database.close()


@pytest.mark.parametrize("basis", [Basis("other", "model"), Basis("digest", "other"), Basis("digest", "model", "x")])
def test_what_was_made_from_something_else_is_dropped(leases: Leases, job_id: str, basis: Basis) -> None:
    leases.keep(job_id, BASIS, Kept(scenes(3), 1))
    assert leases.kept(job_id, basis) == Kept([], 0)
    assert leases.kept(job_id, BASIS) == Kept([], 0)


@pytest.mark.parametrize(("state", "count"), [(JobState.SUCCEEDED, 0), (JobState.CANCELLED, 0), (JobState.FAILED, 3)])
def test_what_was_kept_stays_for_a_failed_job_only(leases: Leases, job_id: str, state: JobState, count: int) -> None:
    leases.keep(job_id, BASIS, Kept(scenes(3), 0))
    leases.end(job_id, state)
    assert len(leases.kept(job_id, BASIS).scenes) == count


def test_what_was_kept_of_a_job_is_forgotten_with_it(jobs: Jobs, leases: Leases, job_id: str) -> None:
    leases.keep(job_id, BASIS, Kept(scenes(3), 0))
    leases.end(job_id, JobState.FAILED)
    jobs.prune(timedelta(0))
    assert leases.kept(job_id, BASIS).scenes == []


def _vectors(made: list[Scene]) -> np.ndarray:
    return np.stack([sample.vector for scene in made for sample in scene.samples])
