"""Another model's embeddings: kept aside, lost with their video, and searched all at once."""

import threading

import numpy as np
import plyvel
import pytest

from services.common import vectors
from services.common.errors import InvalidInputError, NotFoundError, PreconditionError
from services.common.ranking import SceneRanking
from services.store import staging
from services.store.catalog import Catalog
from tests.stores import MODEL, embeddings_of, files_no_larger_than, indexed, query_of, scenes, video

NEW, THIRD = "model-b", "model-c"
D = 16
"""Dimension of the new models; the old one has 8."""
ALL = SceneRanking(top_k=1000)
NAMES = ("a", "b", "c")


def remade(count=3, seed=0, dimension=D):
    """The same scenes as the new model sees them."""
    return scenes(count, dimension=dimension, seed=seed)


def keep(catalog, name, model=NEW, *, discard=False, **made):
    catalog.put_embeddings(embeddings_of(catalog.video(name), remade(**made), model, discard=discard))


def found(catalog, model, dimension):
    query = vectors.normalize(np.random.default_rng(5).standard_normal(dimension))
    return catalog.find_scenes(query_of(query, model), ALL)


def scores(catalog, model, dimension):
    return [(hit.video_id, hit.ordinal, hit.score) for hit in found(catalog, model, dimension).hits]


def missing(catalog, model=NEW):
    return [one.video_id for one in catalog.missing_embeddings(model, "", 100)[0]]


def embedding_prefixes(folder):
    with plyvel.DB(str(folder)) as database:
        return {key.split(b"/")[0] for key in database.iterator(prefix=b"embedding", include_value=False)}


@pytest.fixture
def catalog(tmp_path):
    with Catalog(tmp_path) as catalog:
        for seed, name in enumerate(NAMES):
            catalog.put(indexed(video(name), scenes(3, seed=seed)))
        yield catalog


def test_the_old_model_is_searched_until_the_switch_and_refused_after_it(catalog):
    before = scores(catalog, MODEL, 8)
    for seed, name in enumerate(NAMES):
        keep(catalog, name, seed=seed)
        assert scores(catalog, MODEL, 8) == before
    with pytest.raises(PreconditionError, match=f"{MODEL}.*{NEW}"):
        found(catalog, NEW, D)
    assert catalog.switch_model(NEW) == 3
    assert len(scores(catalog, NEW, D)) == 9
    with pytest.raises(PreconditionError, match=f"{NEW}.*{MODEL}"):
        found(catalog, MODEL, 8)


def test_a_switched_store_answers_as_one_that_was_filled_with_the_new_model(catalog, tmp_path):
    with Catalog(tmp_path / "other") as other:
        for seed, name in enumerate(NAMES):
            keep(catalog, name, seed=seed)
            other.put(indexed(video(name, NEW), remade(seed=seed)))
        catalog.switch_model(NEW)
        assert scores(catalog, NEW, D) == scores(other, NEW, D)
        assert [one.model for one in catalog.videos("", 10)[0]] == [NEW] * 3
        stats, other_stats = catalog.stats(), other.stats()
    assert (stats.model, stats.dimension, stats.sample_count) == (NEW, D, other_stats.sample_count)


def test_a_switch_outlives_a_restart_and_so_does_what_is_kept_before_it(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(3)))
        catalog.put(indexed(video("b"), scenes(3)))
        keep(catalog, "a")
    with Catalog(tmp_path) as catalog:
        assert missing(catalog) == ["b"]
        keep(catalog, "b")
        catalog.switch_model(NEW)
        after = scores(catalog, NEW, D)
    with Catalog(tmp_path) as catalog:
        assert scores(catalog, NEW, D) == after
        catalog.put(indexed(video("b", NEW), remade(2)))
        catalog.delete("a")
        assert len(scores(catalog, NEW, D)) == 2


def test_the_old_embeddings_are_removed_and_a_store_that_was_emptied_can_begin_again(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(3)))
        keep(catalog, "a")
        catalog.switch_model(NEW)
        catalog.delete("a")
        catalog.put(indexed(video("b", THIRD), scenes(2)))
    with Catalog(tmp_path) as catalog:
        assert len(scores(catalog, THIRD, 8)) == 2
        keep(catalog, "b", NEW, count=2)
        catalog.switch_model(NEW)
        assert len(scores(catalog, NEW, D)) == 2
    with Catalog(tmp_path):  # which removes what the last one had no time for
        pass
    assert embedding_prefixes(tmp_path) == {b"embedding.2"}


def test_garbage_is_removed_in_steps_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "STEP", 4)
    with Catalog(tmp_path) as catalog:
        for seed, name in enumerate(NAMES):
            catalog.put(indexed(video(name), scenes(7, seed=seed)))
            keep(catalog, name, count=7, seed=seed)
        catalog.switch_model(NEW)
        for name in NAMES:
            keep(catalog, name, THIRD, count=7)
        after = scores(catalog, NEW, D)
    for _ in range(6):  # at least a step each: 21 records
        with Catalog(tmp_path) as catalog:
            assert scores(catalog, NEW, D) == after
            assert missing(catalog, THIRD) == []
    assert embedding_prefixes(tmp_path) == {b"embedding.1", b"embedding.2"}


def test_a_video_that_is_put_anew_is_missing_again(catalog):
    for name in NAMES:
        keep(catalog, name)
    catalog.put(indexed(video("b"), scenes(5)))
    catalog.update("c", {"title": "other"})
    assert missing(catalog) == ["b"]
    with pytest.raises(PreconditionError, match="missing for 1 of 3 videos"):
        catalog.switch_model(NEW)
    keep(catalog, "b", count=5)
    assert catalog.switch_model(NEW) == 3
    assert len(found(catalog, NEW, D).hits) == 11


def test_a_deleted_video_takes_what_was_kept_of_it_along(catalog, tmp_path):
    for name in NAMES:
        keep(catalog, name)
    catalog.delete("b")
    assert catalog.switch_model(NEW) == 2
    catalog.put(indexed(video("b", NEW), remade(2)))
    assert {hit.video_id for hit in found(catalog, NEW, D).hits} == set(NAMES)


def test_embeddings_of_images_that_are_not_there_any_more_are_refused(catalog):
    late = embeddings_of(catalog.video("b"), remade(), NEW)
    catalog.put(indexed(video("b"), scenes(3)))
    with pytest.raises(PreconditionError, match="put anew"):
        catalog.put_embeddings(late)


def test_a_third_model_waits_unless_the_second_is_given_up(catalog):
    for name in NAMES:
        keep(catalog, name)
    with pytest.raises(PreconditionError, match=f"{NEW}.*{THIRD}.*--discard"):
        keep(catalog, "a", THIRD)
    keep(catalog, "a", THIRD, discard=True, dimension=24)
    assert missing(catalog) == list(NAMES)
    assert missing(catalog, THIRD) == ["b", "c"]
    for name in ("b", "c"):
        keep(catalog, name, THIRD, discard=True, dimension=24)
    assert catalog.switch_model(THIRD) == 3
    assert len(found(catalog, THIRD, 24).hits) == 9


def test_what_was_kept_of_videos_that_are_all_gone_stands_in_no_models_way(tmp_path):
    with Catalog(tmp_path) as catalog:
        catalog.put(indexed(video("a"), scenes(3)))
        keep(catalog, "a")
        catalog.put(indexed(video("a", NEW), remade()))
        keep(catalog, "a", THIRD, dimension=24)
        assert missing(catalog, THIRD) == []
        catalog.put(indexed(video("a", NEW), remade()))
        keep(catalog, "a", THIRD, dimension=24)
        assert catalog.switch_model(THIRD) == 1
    with Catalog(tmp_path):
        pass
    assert embedding_prefixes(tmp_path) == {b"embedding.3"}  # no number is used twice: it may be being removed


def test_embeddings_on_their_way_in_are_bounded(catalog, monkeypatch):
    monkeypatch.setattr(staging, "MAX_SCENES", 2)
    with pytest.raises(InvalidInputError, match="scene 2: no video has more than 2 scenes"):
        keep(catalog, "a")
    with pytest.raises(InvalidInputError, match=r"scene 0: .* came with 65 embeddings"):
        embeddings_of(catalog.video("a"), scenes(1, sample_count=65), NEW)


def test_embeddings_that_do_not_fit_their_video_are_refused(catalog):
    keep(catalog, "a")
    for made, message in (
        (remade(2), "has 3 scenes; embeddings of 2"),
        (scenes(3, sample_count=2, dimension=D), "scene 0 has 3 samples; 2 embeddings"),
        (remade(dimension=24), "has 16 components; got 24"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            catalog.put_embeddings(embeddings_of(catalog.video("b"), made, NEW))
    with pytest.raises(InvalidInputError, match=r"scene 1: .* of one length"):
        embeddings_of(catalog.video("b"), [*remade(1), *scenes(1, dimension=8)], NEW)
    with pytest.raises(InvalidInputError, match="scene 0"):
        embeddings_of(catalog.video("b"), [], NEW).add([])
    assert missing(catalog) == ["b", "c"]


def test_the_searched_model_needs_no_embeddings(catalog):
    with pytest.raises(PreconditionError, match="nothing to keep"):
        keep(catalog, "a", MODEL)
    assert missing(catalog, MODEL) == []
    assert catalog.switch_model(MODEL) == 0
    with pytest.raises(NotFoundError):
        catalog.put_embeddings(embeddings_of(video("nowhere"), remade(), NEW))


def test_an_empty_store_has_nothing_to_switch(tmp_path):
    with Catalog(tmp_path) as catalog:
        assert missing(catalog) == []
        assert catalog.switch_model(NEW) == 0


def test_what_is_missing_comes_in_pages(catalog):
    keep(catalog, "b")
    first, more = catalog.missing_embeddings(NEW, "", 1)
    assert ([one.video_id for one in first], more) == (["a"], True)
    second, more = catalog.missing_embeddings(NEW, "a", 1)
    assert ([one.video_id for one in second], more) == (["c"], False)


def test_a_search_during_the_switch_is_answered_by_one_model_or_the_other(catalog):
    for seed, name in enumerate(NAMES):
        keep(catalog, name, seed=seed)
    old, ended, answers = scores(catalog, MODEL, 8), threading.Event(), []

    def search():
        while not ended.is_set():
            try:
                answers.append(scores(catalog, MODEL, 8))
            except PreconditionError:
                answers.append(scores(catalog, NEW, D))

    searching = threading.Thread(target=search)
    searching.start()
    catalog.switch_model(NEW)
    new = scores(catalog, NEW, D)
    ended.set()
    searching.join()
    assert all(answer in (old, new) for answer in answers)


def test_a_switch_that_cannot_be_written_leaves_the_old_model(catalog):
    for name in NAMES:
        keep(catalog, name)
    before = scores(catalog, MODEL, 8)
    with files_no_larger_than(0), pytest.raises(Exception, match="not switched"):
        catalog.switch_model(NEW)
    assert scores(catalog, MODEL, 8) == before
    assert catalog.switch_model(NEW) == 3
