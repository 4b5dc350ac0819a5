"""When the approximate index fails, the store says so, searches exactly, and makes it anew later."""

import threading
import time

import pytest

from services.common.ranking import SceneRanking
from services.store import accelerator
from services.store.catalog import Catalog
from services.store.queries import find_scenes
from tests.stores import indexed, query_of, scenes, video

SCENES = 100


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(accelerator, "MIN_SAMPLES", 100)
    monkeypatch.setattr(accelerator, "MAX_LEFT_SAMPLES", 1)


@pytest.fixture
def broken(monkeypatch):
    """Once more samples are asked for than there are, it cannot be made."""
    whole = accelerator.training_rows
    monkeypatch.setattr(accelerator, "training_rows", lambda count: count + 1)
    return lambda: monkeypatch.setattr(accelerator, "training_rows", whole)


def until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failures(caplog):
    return [record for record in caplog.records if record.message == "approximate index failed"]


def put(catalog, name, seed=0):
    catalog.put(indexed(video(name), scenes(SCENES, seed=seed)))


def best(catalog, scene):
    return find_scenes(catalog.index, query_of(scene.samples[0].vector), SceneRanking(top_k=1)).hits[0].ordinal


def test_it_is_told_once_and_searches_are_exact(tmp_path, broken, caplog):
    with Catalog(tmp_path) as catalog:
        put(catalog, "a")
        until(lambda: catalog.stats().approximate_failure)
        assert best(catalog, scenes(SCENES)[7]) == 7
        put(catalog, "b", seed=1)
        assert catalog.stats().approximate_sample_count == 0
    (record,) = failures(caplog)
    assert record.reason.startswith("ValueError: Cannot take a larger sample")


def test_it_is_made_anew_later(tmp_path, broken, caplog, monkeypatch):
    monkeypatch.setattr(accelerator, "RETRY_S", 0.01)
    with Catalog(tmp_path) as catalog:
        put(catalog, "a")
        until(lambda: len(failures(caplog)) > 1)
        broken()
        until(lambda: not catalog.stats().approximate_failure)
        assert catalog.stats().approximate_sample_count == 3 * SCENES


def test_one_that_fails_while_it_grows_is_no_longer_searched(tmp_path, monkeypatch):
    with Catalog(tmp_path) as catalog:
        put(catalog, "a")
        until(lambda: catalog.stats().approximate_sample_count == 3 * SCENES)
        add = accelerator.Approximate.add
        monkeypatch.setattr(accelerator.Approximate, "add", lambda self, matrix, ids: add(self, matrix[:, :-1], ids))
        put(catalog, "b", seed=1)
        until(lambda: catalog.stats().approximate_failure)
        assert catalog.index.accelerated is None
        assert best(catalog, scenes(SCENES)[7]) == 7


def test_a_store_whose_index_has_failed_stops_at_once(tmp_path, broken):
    with Catalog(tmp_path) as catalog:
        put(catalog, "a")
        until(lambda: catalog.stats().approximate_failure)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 10 < accelerator.RETRY_S
    assert "accelerator" not in {thread.name for thread in threading.enumerate()}
