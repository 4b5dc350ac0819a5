"""Jobs outlive the process that accepted them."""

from pathlib import Path

import pytest

from services.common.errors import InvalidInputError, NotFoundError, OverloadedError, PreconditionError, StartupError
from services.common.jobs import JobStage, JobState
from services.common.media import Detection, Detector
from services.indexer.jobs import IndexRequest, Jobs, Progress

REQUEST = IndexRequest("/videos/a.mp4", "", "A", {"year": "2008"}, Detection(Detector.CONTENT, 20.0))


@pytest.fixture
def jobs(tmp_path: Path):
    jobs = Jobs(tmp_path, max_queued=3)
    yield jobs
    jobs.close()


def test_a_new_job_is_queued(jobs: Jobs) -> None:
    job = jobs.add(REQUEST, "")
    assert (job.state, job.stage, job.uri, job.end_time) == (JobState.QUEUED, JobStage.WAITING, REQUEST.uri, None)
    assert jobs.get(job.job_id) == job


def test_a_claimed_job_brings_back_its_request(jobs: Jobs) -> None:
    job = jobs.add(REQUEST, "")
    assert jobs.claim() == (job.job_id, REQUEST)
    assert jobs.get(job.job_id).state is JobState.RUNNING


def test_jobs_are_claimed_in_order_and_once(jobs: Jobs) -> None:
    added = [jobs.add(REQUEST, "").job_id for _ in range(3)]
    claimed = [jobs.claim() for _ in range(4)]
    assert [claim and claim[0] for claim in claimed] == [*added, None]


def test_a_request_id_starts_one_job(jobs: Jobs) -> None:
    assert jobs.add(REQUEST, "once") == jobs.add(REQUEST, "once")


def test_a_request_id_is_refused_for_another_request(jobs: Jobs) -> None:
    jobs.add(REQUEST, "once")
    other = IndexRequest("/videos/b.mp4", "", "", {}, Detection())
    with pytest.raises(InvalidInputError, match="used for another request"):
        jobs.add(other, "once")


def test_a_full_queue_refuses(jobs: Jobs) -> None:
    for _ in range(3):
        jobs.add(REQUEST, "")
    with pytest.raises(OverloadedError, match="retry"):
        jobs.add(REQUEST, "")


def test_an_unknown_job_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        jobs.get("nowhere")


def test_what_was_running_is_queued_again_after_a_restart(tmp_path: Path) -> None:
    before = Jobs(tmp_path, max_queued=3)
    job_id = before.add(REQUEST, "").job_id
    before.claim()
    before.progress(job_id, Progress(JobStage.INDEXING, 50, 7, "v"))
    before.close()
    after = Jobs(tmp_path, max_queued=3)
    assert after.requeue_running() == 1
    job = after.get(job_id)
    assert (job.state, job.progress_percent) == (JobState.QUEUED, 0)
    assert after.claim() == (job_id, REQUEST)
    after.close()


def test_an_ended_job_says_how_and_when(jobs: Jobs) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    jobs.claim()
    jobs.end(job_id, JobState.FAILED, "no such luck")
    job = jobs.get(job_id)
    assert (job.state, job.error, job.stage) == (JobState.FAILED, "no such luck", JobStage.WAITING)
    assert job.end_time is not None


def test_a_queued_job_is_cancelled_at_once(jobs: Jobs) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    cancelled = jobs.cancel_queued(job_id)
    assert cancelled is not None
    assert cancelled.state is JobState.CANCELLED
    assert jobs.claim() is None


def test_an_ended_job_cannot_be_cancelled(jobs: Jobs) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    jobs.cancel_queued(job_id)
    with pytest.raises(PreconditionError, match="ended already"):
        jobs.cancel_queued(job_id)


def test_a_damaged_database_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StartupError, match="cannot be opened") as stopped:
        Jobs(tmp_path, max_queued=3)
    assert "\n" not in str(stopped.value)


def test_a_folder_that_cannot_be_made_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot be used"):
        Jobs(tmp_path / "file" / "folder", max_queued=3)


def test_a_folder_serves_one_indexer_at_a_time(jobs: Jobs, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="in use by another indexer"):
        Jobs(tmp_path, max_queued=3)


def test_pages_go_from_the_newest_to_the_oldest(jobs: Jobs) -> None:
    added = [jobs.add(REQUEST, "").job_id for _ in range(3)]
    first, following = jobs.page(2, None, ())
    second, end = jobs.page(2, following, ())
    assert [job.job_id for job in [*first, *second]] == added[::-1]
    assert end is None


def test_a_page_holds_only_the_states_asked_for(jobs: Jobs) -> None:
    for _ in range(2):
        jobs.add(REQUEST, "")
    running = jobs.claim()
    assert running is not None
    page, _ = jobs.page(10, None, (JobState.RUNNING,))
    assert [job.job_id for job in page] == [running[0]]
