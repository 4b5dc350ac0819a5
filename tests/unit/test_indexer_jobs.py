"""Jobs outlive the process that accepted them, and the version of it."""

import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.common.errors import (
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    StartupError,
    UnavailableError,
)
from services.common.jobs import JobStage, JobState
from services.common.media import Detection, Detector
from services.indexer.database import Database
from services.indexer.jobs import UPLOAD, IndexRequest, Jobs
from services.indexer.leases import Leases
from tests.stores import files_no_larger_than

REQUEST = IndexRequest("/videos/a.mp4", "", "A", {"year": "2008"}, Detection(Detector.CONTENT, 20.0))

OLD_TABLE = """
CREATE TABLE jobs (
    sequence INTEGER NOT NULL, job_id VARCHAR NOT NULL, request_id VARCHAR, request JSON NOT NULL,
    state VARCHAR NOT NULL, stage VARCHAR NOT NULL, progress_percent INTEGER NOT NULL, scene_count INTEGER NOT NULL,
    video_id VARCHAR NOT NULL, error VARCHAR NOT NULL, create_time DATETIME NOT NULL, update_time DATETIME NOT NULL,
    end_time DATETIME, PRIMARY KEY (sequence), UNIQUE (job_id), UNIQUE (request_id)
)
"""
OLD_REQUEST = {
    "uri": "/videos/a.mp4",
    "video_id": "",
    "title": "A",
    "metadata": {"year": "2008"},
    "detection": {"detector": "content", "threshold": 20.0, "min_scene_ns": 600000000, "max_scene_ns": 30000000000},
}


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, max_queued=3)


@pytest.fixture
def leases(database: Database) -> Leases:
    return Leases(database, max_attempts=2)


def test_a_new_job_is_queued(jobs: Jobs) -> None:
    job = jobs.add(REQUEST, "")
    assert (job.state, job.stage, job.uri, job.end_time) == (JobState.QUEUED, JobStage.WAITING, REQUEST.uri, None)
    assert jobs.get(job.job_id) == job


def test_a_job_may_come_with_its_id(jobs: Jobs) -> None:
    assert jobs.add(REQUEST, "", "upload-1").job_id == "upload-1"


def test_a_request_id_starts_one_job(jobs: Jobs) -> None:
    assert jobs.add(REQUEST, "once") == jobs.add(REQUEST, "once")


def test_a_request_id_is_refused_for_another_request(jobs: Jobs) -> None:
    jobs.add(REQUEST, "once")
    with pytest.raises(InvalidInputError, match="used for another request"):
        jobs.add(replace(REQUEST, force=True), "once")


def test_a_full_queue_refuses(jobs: Jobs) -> None:
    for _ in range(3):
        jobs.add(REQUEST, "")
    with pytest.raises(OverloadedError, match="retry"):
        jobs.add(REQUEST, "")


def test_an_unknown_job_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        jobs.get("nowhere")


def test_a_queued_job_is_cancelled_at_once(jobs: Jobs, leases: Leases) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    assert jobs.cancel_queued(job_id).state is JobState.CANCELLED
    assert leases.claim() is None


def test_an_ended_job_cannot_be_cancelled(jobs: Jobs) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    jobs.cancel_queued(job_id)
    with pytest.raises(PreconditionError, match="ended already"):
        jobs.cancel_queued(job_id)


def test_a_job_that_waits_for_its_next_attempt_is_cancelled_at_once(jobs: Jobs, leases: Leases) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    leases.claim()
    leases.postpone(job_id, "the embedder is away")
    cancelled = jobs.cancel_queued(job_id)
    assert (cancelled.state, cancelled.next_attempt_time, cancelled.error) == (JobState.CANCELLED, None, "")


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_restarted_job_is_as_new(jobs: Jobs, leases: Leases, state: JobState) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    leases.claim()
    leases.end(job_id, state, "no such luck")
    job = jobs.restart(job_id)
    assert (job.state, job.attempt_count, job.error, job.end_time) == (JobState.QUEUED, 0, "", None)
    assert leases.claim() == (job_id, REQUEST)


def test_only_jobs_that_came_to_nothing_can_be_restarted(jobs: Jobs, leases: Leases) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    with pytest.raises(PreconditionError, match="queued"):
        jobs.restart(job_id)
    leases.claim()
    with pytest.raises(PreconditionError, match="running"):
        jobs.restart(job_id)
    leases.end(job_id, JobState.SUCCEEDED)
    with pytest.raises(PreconditionError, match="succeeded"):
        jobs.restart(job_id)


def test_an_upload_that_was_cancelled_cannot_be_restarted(jobs: Jobs) -> None:
    job_id = jobs.add(replace(REQUEST, uri=f"{UPLOAD}a.mp4"), "").job_id
    jobs.cancel_queued(job_id)
    with pytest.raises(PreconditionError, match="upload the video again"):
        jobs.restart(job_id)


def test_a_full_queue_refuses_restarts(jobs: Jobs) -> None:
    job_id = jobs.add(REQUEST, "").job_id
    jobs.cancel_queued(job_id)
    for _ in range(3):
        jobs.add(REQUEST, "")
    with pytest.raises(OverloadedError):
        jobs.restart(job_id)


def test_old_history_is_forgotten_and_what_has_not_ended_is_not(jobs: Jobs) -> None:
    ended, waiting = (jobs.add(REQUEST, request_id).job_id for request_id in ("ended", "waiting"))
    jobs.cancel_queued(ended)
    assert jobs.prune(timedelta(days=1)) == []
    assert jobs.prune(timedelta(0)) == [ended]
    with pytest.raises(NotFoundError):
        jobs.get(ended)
    assert jobs.get(waiting).state is JobState.QUEUED
    assert jobs.add(REQUEST, "ended").job_id != ended


def test_files_are_of_use_to_jobs_that_go_on_and_to_failed_uploads(jobs: Jobs, leases: Leases) -> None:
    upload = replace(REQUEST, uri=f"{UPLOAD}film.mp4")
    download, uploaded, cancelled = (jobs.add(request, "").job_id for request in (REQUEST, upload, upload))
    jobs.cancel_queued(cancelled)
    for failed in (download, uploaded):
        leases.claim()
        leases.end(failed, JobState.FAILED, "no such luck")
    waiting = jobs.add(REQUEST, "").job_id
    assert jobs.with_files() == {uploaded, waiting}


def test_a_database_of_the_first_version_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "jobs.sqlite") as old:
        old.execute(OLD_TABLE)
        row = (
            *("job-1", "once", json.dumps(OLD_REQUEST), "running", "indexing", 50, 7, "v", ""),
            *("2026-01-02 03:04:05.000000", "2026-01-02 03:04:06.000000"),
        )
        old.execute(f"INSERT INTO jobs VALUES (1, {', '.join('?' * len(row))}, NULL)", row)
    old.close()
    for _ in range(2):  # and opens again
        database = Database(tmp_path)
        jobs, leases = Jobs(database, max_queued=3), Leases(database, max_attempts=2)
        assert leases.recover() == 1
        assert leases.claim() == ("job-1", REQUEST)
        assert jobs.get("job-1").frame_count == 0
        assert jobs.add(REQUEST, "once").job_id == "job-1"
        database.close()


def test_a_damaged_database_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StartupError, match="cannot be opened") as stopped:
        Database(tmp_path)
    assert "\n" not in str(stopped.value)


def test_a_folder_that_cannot_be_made_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="cannot be used"):
        Database(tmp_path / "file" / "folder")


@pytest.mark.usefixtures("database")
def test_a_folder_serves_one_indexer_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="in use by another indexer"):
        Database(tmp_path)


def test_a_full_disk_is_told_and_survived(jobs: Jobs, tmp_path: Path) -> None:
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    with files_no_larger_than(size), pytest.raises(UnavailableError, match="cannot be used at present"):
        jobs.add(REQUEST, "")
    assert jobs.page(10, None, ()) == ([], None)
    assert jobs.add(REQUEST, "").state is JobState.QUEUED


def test_pages_go_from_the_newest_to_the_oldest(jobs: Jobs) -> None:
    added = [jobs.add(REQUEST, "").job_id for _ in range(3)]
    first, following = jobs.page(2, None, ())
    second, end = jobs.page(2, following, ())
    assert [job.job_id for job in [*first, *second]] == added[::-1]
    assert end is None


def test_a_page_holds_only_the_states_asked_for(jobs: Jobs, leases: Leases) -> None:
    running, _ = (jobs.add(REQUEST, "").job_id for _ in range(2))
    leases.claim()
    page, _ = jobs.page(10, None, (JobState.RUNNING,))
    assert [job.job_id for job in page] == [running]
