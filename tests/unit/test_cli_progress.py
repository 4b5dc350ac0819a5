from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cli import progress
from services.common.jobs import IndexJob, JobStage, JobState
from services.common.media import NANOSECONDS

START = datetime(2026, 1, 1, tzinfo=UTC)
QUEUED = IndexJob("j", "/videos/a.mp4", JobState.QUEUED, JobStage.WAITING, 0, 0, "", "", START, START, None)
RUNNING = replace(QUEUED, state=JobState.RUNNING, stage=JobStage.INDEXING, progress_percent=50, scene_count=7)
DONE = replace(
    RUNNING,
    state=JobState.SUCCEEDED,
    progress_percent=100,
    video_id="v",
    end_time=START + timedelta(seconds=2),
)


def test_a_job_that_only_gets_further_prints_no_new_line(capsys):
    with progress.display() as show:
        for job in (QUEUED, RUNNING, replace(RUNNING, progress_percent=60), DONE):
            show(job)
    assert capsys.readouterr() == ("", "a.mp4: queued\na.mp4: indexing, 7 scenes\na.mp4: succeeded, 7 scenes\n")


def test_a_terminal_shows_a_bar_a_job(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.display() as show:
        show(RUNNING)
        show(DONE)
    out, err = capsys.readouterr()
    assert out == ""
    assert "a.mp4" in err
    assert "100%" in err


def test_a_bar_tells_how_fast_its_job_gets_on(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    at_50 = replace(RUNNING, decoded_ns=5 * NANOSECONDS, duration_ns=10 * NANOSECONDS, frame_count=125)
    with progress.display() as show:
        show(replace(at_50, decoded_ns=NANOSECONDS, frame_count=25))
        show(replace(at_50, update_time=START + timedelta(seconds=2)))
    doing = "indexing, 7 scenes, 50 frames/s, 2.0\N{MULTIPLICATION SIGN} real time, 0:00:02 left"
    assert doing in capsys.readouterr().err


def test_a_job_that_waits_for_another_attempt_says_why(capsys):
    with progress.display() as show:
        show(replace(QUEUED, attempt_count=1, next_attempt_time=START, error="the embedder is away"))
    assert capsys.readouterr().err == "a.mp4: queued again after attempt 1: the embedder is away\n"


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (DONE, "a.mp4: indexed as v, 7 scenes in 2.0 s"),
        (replace(DONE, unchanged=True), "a.mp4: unchanged, was indexed already as v"),
        (replace(DONE, state=JobState.FAILED, error="not a video"), "a.mp4: failed: not a video"),
        (replace(DONE, state=JobState.CANCELLED), "a.mp4: cancelled, job j"),
        (QUEUED, "a.mp4: queued, job j"),
    ],
)
def test_a_summary_says_what_became_of_a_job(job, line):
    assert progress.summary(job) == line


@pytest.mark.parametrize(
    ("uri", "name"), [("/x/a.mp4", "a.mp4"), ("https://e.org/v/b.mp4", "b.mp4"), ("https://", "https:")]
)
def test_a_video_is_called_by_its_files_name(uri, name):
    assert progress.name(uri) == name
