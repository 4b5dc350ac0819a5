"""SECURITY.md says of the code what is so: who may call what, and which test shows that something is stopped."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.common.methods import METHODS

SERVICES = ("embedder", "indexer", "search", "store")
ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "SECURITY.md").read_text()
ROLES, THREATS = DOCUMENT.split("## What can be tried")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in THREATS.splitlines()
    if line.startswith("|") and not line.startswith(("| ---", "| what it tries"))
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def functions_of(path):
    """Their names, of a file that is only read."""
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_table_of_roles_is_that_of_the_code():
    rows = re.findall(r"^\| (read|write|admin) \| (\w+) \| (.*) \|$", ROLES, flags=re.MULTILINE)
    written = {
        (f"/videosearch.v1.{service}/{name}", role) for role, service, names in rows for name in names.split(", ")
    }
    assert written == {(name, method.role.name.lower()) for name, method in METHODS.items()}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_stops_a_threat_is_shown_by_tests_that_exist(row):
    _, _, shown = row
    named = TEST.findall(shown)
    assert named
    assert "; ".join(f"`{path}::{name}`" for path, name in named) == shown
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(path)] == []


def test_there_are_threats_of_every_kind():
    kinds = re.findall(r"^### (.*)$", THREATS, flags=re.MULTILINE)
    hostile = ("video", "image", "URL", "message", "token", "peer", "certificate", "metrics", "dependency", "operator")
    assert [word for word in hostile if not any(word in kind for kind in kinds)] == []
    assert len(ROWS) > 40


def test_metrics_tell_of_no_content_and_no_caller():
    for service in ("common", *SERVICES):
        importlib.import_module(f"services.{service}.metrics")
    of_the_code = {"code", "lane", "method", "outcome", "source", "stage", "state", "way"}
    ours = [metric for name, metric in REGISTRY._names_to_collectors.items() if name.startswith("videosearch_")]
    assert len(ours) > 10
    assert {label for metric in ours for label in getattr(metric, "_labelnames", ())} <= of_the_code
