"""Alerts fire when they should and not when they should not, as Prometheus itself works them out."""

import shutil
import subprocess

import pytest
import yaml

from tests.unit.test_dashboard import ALERTS, ALERTS_PATH

INDEXER = 'job="videosearch-indexer",instance="i:1"'
STORE = 'job="videosearch-store",instance="s:1"'
FIND = f'videosearch_rpc_seconds_count{{{STORE},method="/videosearch.v1.StoreService/FindVideos",code="%s"}}'
ATTEMPTS = f'videosearch_indexer_attempts_total{{{INDEXER},outcome="%s"}}'
QUEUED = f'videosearch_indexer_jobs{{{INDEXER},state="queued"}}'
FRAMES = f"videosearch_indexer_frames_total{{{INDEXER}}}"
FREE = f"videosearch_store_disk_free_bytes{{{STORE}}}"
ACCEPTED = 'videosearch_embedder_accepted_items{instance="e:1"}'
PLACES = 'videosearch_embedder_max_accepted_items{instance="e:1"}'
SAMPLES, KNOWN = f"videosearch_store_samples{{{STORE}}}", f"videosearch_store_approximate_samples{{{STORE}}}"
SEARCHES = 'videosearch_rpc_seconds_bucket{method="/videosearch.v1.SearchService/SearchVideos",code="OK",le="%s"}'

CASES = {
    "one call in ten fails": ("Errors", {FIND % "OK": "0+90x240", FIND % "INTERNAL": "0+10x240"}, True),
    "one in a hundred": ("Errors", {FIND % "OK": "0+99x240", FIND % "INTERNAL": "0+1x240"}, False),
    "callers err": ("Errors", {FIND % "OK": "0+9x240", FIND % "INVALID_ARGUMENT": "0+90x240"}, False),
    "searches take two seconds": (
        "SlowSearches",
        {SEARCHES % "1.0": "0+0x240", SEARCHES % "2.5": "0+9x240", SEARCHES % "+Inf": "0+9x240"},
        True,
    ),
    "searches are quick": ("SlowSearches", {SEARCHES % "0.5": "0+9x240", SEARCHES % "+Inf": "0+9x240"}, False),
    "a queue is nearly full": ("EmbedderQueueFull", {ACCEPTED: "95x240", PLACES: "100x240"}, True),
    "a queue is half full": ("EmbedderQueueFull", {ACCEPTED: "50x240", PLACES: "100x240"}, False),
    "half of the jobs fail": ("JobsFailing", {ATTEMPTS % "failed": "0+1x240", ATTEMPTS % "succeeded": "0+1x240"}, True),
    "few of many do": ("JobsFailing", {ATTEMPTS % "failed": "0+1x240", ATTEMPTS % "succeeded": "0+99x240"}, False),
    "jobs wait and are put off": (
        "JobsStuck",
        {QUEUED: "3x240", FRAMES: "500x240", ATTEMPTS % "postponed": "0+1x240"},
        True,
    ),
    "a long film is decoded": ("JobsStuck", {QUEUED: "3x240", FRAMES: "0+500x240"}, False),
    "unchanged videos pass": ("JobsStuck", {QUEUED: "3x240", ATTEMPTS % "succeeded": "0+5x240"}, False),
    "no job waits": ("JobsStuck", {QUEUED: "0x240", FRAMES: "500x240"}, False),
    "a backlog grows": ("JobBacklog", {QUEUED: "1500+10x240"}, True),
    "a backlog shrinks": ("JobBacklog", {QUEUED: "9000-10x240"}, False),
    "a disk fills": ("DiskFilling", {FREE: "100000000000-100000000x240"}, True),
    "a disk is nearly full": ("DiskFilling", {FREE: "1000000000x240"}, True),
    "a disk has room": ("DiskFilling", {FREE: "100000000000x240"}, False),
    "the index is far behind": ("ApproximateIndexBehind", {SAMPLES: "200000x240", KNOWN: "100000x240"}, True),
    "a small store has none": ("ApproximateIndexBehind", {SAMPLES: "10000x240", KNOWN: "0x240"}, False),
}


def firing(name: str, alert: str, series: dict[str, str], *, fires: bool) -> dict[str, object]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="Videosearch{alert}",alertstate="firing"}})',
                "eval_time": "230m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def test_alerts_fire_when_they_should(tmp_path):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not on PATH: whether alerts fire is not checked")
    assert {f"Videosearch{alert}" for alert, _, _ in CASES.values()} <= ALERTS.keys()
    tests = [firing(name, alert, series, fires=fires) for name, (alert, series, fires) in CASES.items()]
    whole = {"rule_files": [str(ALERTS_PATH)], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(whole))
    command = [promtool, "test", "rules", str(tmp_path / "tests.yaml")]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
