"""`videosearch index` and `videosearch jobs` against an indexer on loopback."""

import json
import os
import re

import pytest

from services.common.errors import OverloadedError, UnavailableError
from tests.commands import data, run

NOBODY = "127.0.0.1:1"


pytestmark = pytest.mark.usefixtures("indexer")


async def test_index_waits_and_says_what_became_of_the_video():
    result = await run("index", "/videos/bikes.mp4")
    assert (result.exit_code, result.stdout) == (0, "bikes.mp4: indexed as sha256-ab, 5 scenes in 1.5 s\n")


async def test_index_shows_progress_as_lines_where_there_is_no_terminal():
    result = await run("index", "/videos/bikes.mp4")
    assert result.stderr.splitlines() == [
        "bikes.mp4: queued",
        "bikes.mp4: indexing, 2 scenes",
        "bikes.mp4: succeeded, 5 scenes",
    ]


async def test_index_without_waiting_returns_the_job():
    (job,) = await data("index", "/videos/endless.mp4", "--no-wait")
    assert (job["job_id"], job["state"]) == ("job-0", "queued")


async def test_index_makes_paths_absolute_and_leaves_urls(indexer, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    await run("index", "bikes.mp4", "https://example.org/a.mp4", "--no-wait")
    assert [request.uri for request in indexer.requests] == [f"{tmp_path}/bikes.mp4", "https://example.org/a.mp4"]


async def test_index_asks_with_the_details_given(indexer):
    await run(
        *("index", "/videos/bikes.mp4", "--title", "Bikes", "--id", "bikes", "--meta", "a=1", "--meta", "b=x=y"),
        *("--detector", "content", "--threshold", "20", "--min-scene", "1.5", "--max-scene", "10"),
    )
    (request,) = indexer.requests
    assert (request.title, request.video_id, dict(request.metadata)) == ("Bikes", "bikes", {"a": "1", "b": "x=y"})
    detection = request.detection
    assert (detection.detector, detection.threshold) == (2, 20)
    assert (detection.min_scene_duration.ToMilliseconds(), detection.max_scene_duration.seconds) == (1500, 10)


async def test_index_says_which_videos_are_unchanged():
    result = await run("index", "/videos/old.mp4")
    assert (result.exit_code, result.stdout) == (0, "old.mp4: unchanged, was indexed already as sha256-ab\n")


async def test_index_can_be_forced(indexer):
    await run("index", "/videos/old.mp4", "--force")
    assert indexer.requests[0].force


async def test_index_sends_the_bytes_of_files_to_be_uploaded(indexer, tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "holiday.mp4").write_bytes(content)
    result = await run("index", str(tmp_path), "--upload", "--title", "Holiday", "--detector", "hash")
    assert (result.exit_code, result.stdout) == (0, "upload:holiday.mp4: indexed as sha256-ab, 5 scenes in 1.5 s\n")
    ((upload, sent),) = indexer.uploads
    assert (upload.name, upload.title, upload.detection.detector, sent) == ("holiday.mp4", "Holiday", 4, content)


async def test_a_url_cannot_be_uploaded(indexer):
    result = await run("index", "https://example.org/a.mp4", "--upload")
    assert result.exit_code == 2
    assert "--upload sends files of this machine; https://example.org/a.mp4 is a URL" in result.stderr
    assert not indexer.uploads


async def test_a_file_that_cannot_be_uploaded_is_named_and_the_next_is_sent(indexer, tmp_path):
    (tmp_path / "there.mp4").write_bytes(b"video")
    result = await run("index", str(tmp_path / "gone.mp4"), str(tmp_path / "there.mp4"), "--upload")
    assert result.exit_code == 2
    assert "gone.mp4: not uploaded: it cannot be read: No such file or directory" in result.stdout
    assert len(indexer.uploads) == 1


async def test_a_failed_job_is_queued_again(indexer):
    await run("index", "/videos/fail.mp4")
    (job,) = await data("jobs", "restart", "job-0")
    assert (job["state"], job["error"]) == ("queued", "")


async def test_a_job_that_has_not_failed_cannot_be_restarted():
    await run("index", "/videos/a.mp4")
    result = await run("jobs", "restart", "job-0")
    assert (result.exit_code, "job-0 is succeeded" in result.stderr) == (4, True)


async def test_index_without_details_leaves_them_to_the_indexer(indexer):
    await run("index", "/videos/bikes.mp4")
    assert not indexer.requests[0].HasField("detection")


async def test_a_repeated_submission_has_the_same_request_id(indexer):
    indexer.refusals = [UnavailableError("starting")]
    assert (await run("index", "/videos/bikes.mp4")).exit_code == 0
    first, second = indexer.requests
    assert first.request_id == second.request_id != ""


async def test_each_video_has_a_request_id_of_its_own(indexer):
    await run("index", "/videos/a.mp4", "/videos/b.mp4")
    assert len({request.request_id for request in indexer.requests}) == 2


async def test_index_waits_for_a_place_in_a_full_queue(indexer, monkeypatch):
    monkeypatch.setattr("cli.index.SUBMIT_PATIENCE_S", 0)
    indexer.refusals = [OverloadedError("64 jobs are waiting")]
    result = await run("index", "/videos/bikes.mp4")
    assert result.exit_code == 0
    assert "bikes.mp4: waiting for a place: 64 jobs are waiting" in result.stderr


async def test_index_gives_up_on_a_place_in_a_queue_that_stays_full_and_goes_on_with_the_next(indexer, monkeypatch):
    monkeypatch.setattr("cli.index.SUBMIT_PATIENCE_S", 0)
    monkeypatch.setattr("cli.index.PLACE_PATIENCE_S", 0)
    indexer.refusals = [OverloadedError("64 jobs are waiting")]
    result = await run("index", "/videos/a.mp4", "/videos/b.mp4")
    assert result.exit_code == 5
    assert result.stdout.splitlines() == [
        "a.mp4: no place in the queue for 0 s: 64 jobs are waiting",
        "b.mp4: indexed as sha256-ab, 5 scenes in 1.5 s",
    ]


async def test_a_file_name_that_is_not_utf8_does_not_stop_the_others_of_its_folder(tmp_path):
    for name in (b"a\xff.mp4", b"b.mp4"):
        (tmp_path / os.fsdecode(name)).touch()
    result = await run("index", str(tmp_path))
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "a\N{REPLACEMENT CHARACTER}.mp4: not indexed: its path is not UTF-8; rename it",
        "b.mp4: indexed as sha256-ab, 5 scenes in 1.5 s",
    ]


async def test_a_failed_job_gives_its_reason_and_exits_1():
    result = await run("index", "/videos/fail.mp4", "/videos/bikes.mp4")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "fail.mp4: failed: not a video: nothing in it can be decoded",
        "bikes.mp4: indexed as sha256-ab, 5 scenes in 1.5 s",
    ]


async def test_a_refused_video_does_not_stop_the_others_and_gives_the_exit_code():
    result = await run("index", "/videos/missing.mp4", "/videos/bikes.mp4", "--json")
    assert result.exit_code == 3
    refused, indexed = json.loads(result.stdout)
    assert refused == {"job_id": None, "uri": "/videos/missing.mp4", "error": "no file at /videos/missing.mp4"}
    assert indexed["state"] == "succeeded"


async def test_a_watch_that_breaks_is_taken_up_again(indexer):
    indexer.broken_watches = [UnavailableError("stopping")]
    result = await run("index", "/videos/bikes.mp4")
    assert result.exit_code == 0
    assert "lost sight of job job-0, trying again" in result.stderr


async def test_an_indexer_that_is_away_stops_the_submissions_and_exits_5(monkeypatch):
    monkeypatch.setenv("VIDEOSEARCH_INDEXER_ADDRESS", NOBODY)
    monkeypatch.setattr("cli.index.SUBMIT_PATIENCE_S", 0)
    result = await run("index", "/videos/a.mp4", "/videos/b.mp4")
    assert result.exit_code == 5
    assert f"IndexerService at {NOBODY}" in result.stdout
    assert result.stderr == "1 of 2 videos were not submitted.\n"


@pytest.mark.parametrize("calls", ["refusals", "broken_watches"])
async def test_an_indexer_that_fails_is_told_in_one_line_and_exits_1(indexer, calls):
    setattr(indexer, calls, [RuntimeError("broken")])
    result = await run("index", "/videos/endless.mp4")
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"videosearch: internal error.* \(request id [0-9a-f]{32}\)", result.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.mp4", "b.mp4", "--title", "A"),
        ("a.mp4", "b.mp4", "--id", "a"),
        ("a.mp4", "--meta", "=x"),
        ("a.mp4", ""),
        ("a.mp4", os.fsdecode(b"/videos/bad\xff.mp4")),
        ("a.mp4", "--min-scene", "nan"),
        ("a.mp4", "--max-scene", "-1"),
        ("a.mp4", "--detector", "best"),
        (),
    ],
)
async def test_index_with_wrong_input_exits_2_and_submits_nothing(indexer, arguments):
    assert (await run("index", *arguments)).exit_code == 2
    assert not indexer.requests


async def test_jobs_list_pages_through_all_newest_first():
    await run("index", "/videos/a.mp4", "/videos/b.mp4", "/videos/fail.mp4")
    assert [job["job_id"] for job in await data("jobs", "list")] == ["job-2", "job-1", "job-0"]
    assert [job["job_id"] for job in await data("jobs", "list", "-n", "2")] == ["job-2", "job-1"]


async def test_jobs_list_takes_states():
    await run("index", "/videos/a.mp4", "/videos/fail.mp4")
    assert [job["uri"] for job in await data("jobs", "list", "--state", "failed")] == ["/videos/fail.mp4"]


@pytest.mark.parametrize("command", [("show", "job-0"), ("list", "--state", "failed")])
async def test_a_failed_job_is_shown_with_its_reason(command):
    await run("index", "/videos/fail.mp4")
    result = await run("jobs", *command)
    assert result.exit_code == 0
    assert "nothing in it can be decoded" in result.stdout


async def test_jobs_without_failures_have_no_column_of_reasons():
    await run("index", "/videos/a.mp4")
    assert "reason" not in (await run("jobs", "list")).stdout


async def test_jobs_cancel_stops_a_job():
    await run("index", "/videos/endless.mp4", "--no-wait")
    assert [job["state"] for job in await data("jobs", "cancel", "job-0")] == ["cancelled"]


async def test_cancelling_a_job_that_has_ended_exits_4():
    await run("index", "/videos/a.mp4")
    assert (await run("jobs", "cancel", "job-0")).exit_code == 4


async def test_jobs_watch_prints_a_json_line_for_each_state():
    await run("index", "/videos/a.mp4", "--no-wait")
    result = await run("jobs", "watch", "job-0", "--json")
    assert [json.loads(line)["state"] for line in result.stdout.splitlines()] == ["queued", "running", "succeeded"]


async def test_jobs_watch_exits_1_when_a_job_fails():
    await run("index", "/videos/a.mp4", "/videos/fail.mp4", "--no-wait")
    assert (await run("jobs", "watch", "job-0", "job-1")).exit_code == 1


@pytest.mark.parametrize("command", ["show", "cancel", "watch"])
async def test_an_unknown_job_exits_3(command):
    result = await run("jobs", command, "job-9")
    assert (result.exit_code, result.stderr) == (3, "videosearch: no job 'job-9'\n")
