"""Dashboard and alerts ask for metrics, labels and values that the code exports; the runbook answers each alert."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
import yaml

from services.common.jobs import JobState
from services.common.methods import METHODS
from tools.metrics_table import DOCUMENT, MODULES, document, exported

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/videosearch.json").read_text())
ALERTS_PATH = ROOT / "deploy/prometheus/alerts.yaml"
(GROUP,) = yaml.safe_load(ALERTS_PATH.read_text())["groups"]
ALERTS = {rule["alert"]: rule for rule in GROUP["rules"]}
ASKED = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
EXPRESSIONS = [*ASKED, *(rule["expr"] for rule in ALERTS.values())]

EXPORTED = [each for module in MODULES.values() for each in exported(module)]
SERIES = {name: set(each.labels) for each in EXPORTED for name in each.series} | {
    "up": set(),
    "process_resident_memory_bytes": set(),
}
OF_PROMETHEUS = {"job", "instance", "le"}
VALUES = {
    "code": {code.name for code in grpc.StatusCode},
    "method": set(METHODS),
    "state": set(JobState),
    "outcome": {*JobState, "postponed", "indexed", "unchanged"},
    "job": {f"videosearch-{service}" for service in ("embedder", "store", "indexer", "search")},
}

SELECTOR = re.compile(r"\b(up|(?:videosearch|process)_\w+)(\{[^}]*\})?")
LABEL = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_expression_asks_for_what_is_exported(expression):
    selectors = SELECTOR.findall(expression)
    assert selectors
    grouped = {label for labels in GROUPING.findall(expression) for label in re.findall(r"\w+", labels)}
    for name, labels in selectors:
        assert name in SERIES
        for label, match, value in LABEL.findall(labels):
            assert label in SERIES[name] | OF_PROMETHEUS
            for pattern in value.split("|") if match == "=~" else [re.escape(value)]:  # each is to be of use
                assert pattern == "$job" or any(re.fullmatch(pattern, known) for known in VALUES[label])
    assert grouped <= OF_PROMETHEUS.union(*(SERIES[name] for name, _ in selectors))


def test_every_metric_is_shown_or_watched():
    asked = {name for expression in EXPRESSIONS for name, _ in SELECTOR.findall(expression)}
    assert [each.name for each in EXPORTED if not asked & set(each.series)] == []


def test_the_panels_do_not_overlap():
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_each_alert_says_what_is_wrong_and_its_section_of_the_runbook_is_there(rule):
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert all(rule["annotations"][name].strip() for name in ("summary", "description"))
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(ROOT / path)


def anchors(path):
    """As the usual renderers make them of headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_promtool_finds_no_fault_with_the_rules_and_the_dashboard(tmp_path):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not on PATH: the syntax of expressions is not checked")
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "5m").replace("$job", ".+")}
        for number, expr in enumerate(ASKED)
    ]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    for path in (ALERTS_PATH, tmp_path / "panels.yaml"):
        checked = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_list_of_metrics_is_up_to_date():
    assert DOCUMENT.read_text() == document(), "run `make docs`"


def test_metrics_are_named_as_prometheus_asks():
    """https://prometheus.io/docs/practices/naming/: base units as suffixes, `_total` of counters and nothing else."""
    for each in EXPORTED:
        assert each.name.startswith("videosearch_")
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent)(_|$)", each.name)
        assert each.meaning.endswith((".", ")"))
