"""A file that has not changed is not read again to know its digest."""

import time
from datetime import timedelta

import pytest

from services.indexer.database import Database
from services.indexer.digests import Digests
from services.indexer.jobs import Jobs

STAMP = (1000, 1_700_000_000_000_000_000)


@pytest.fixture
def digests(database: Database) -> Digests:
    return Digests(database)


def test_a_digest_is_known_while_size_and_time_of_change_are_the_same(digests: Digests) -> None:
    digests.remember("/a", STAMP, "digest")
    assert digests.known("/a", STAMP) == "digest"
    assert digests.known("/a", (STAMP[0] + 1, STAMP[1])) is None
    assert digests.known("/a", (STAMP[0], STAMP[1] + 1)) is None
    assert digests.known("/b", STAMP) is None


def test_a_changed_file_has_its_new_digest(digests: Digests) -> None:
    later = (STAMP[0], STAMP[1] + 1)
    digests.remember("/a", STAMP, "digest")
    digests.remember("/a", later, "other")
    assert (digests.known("/a", STAMP), digests.known("/a", later)) == (None, "other")


def test_a_file_that_changed_just_now_may_change_again_unseen(digests: Digests) -> None:
    stamp = (1000, time.time_ns())
    digests.remember("/a", stamp, "digest")
    assert digests.known("/a", stamp) is None


def test_digests_that_nobody_asks_for_are_forgotten(database: Database, digests: Digests) -> None:
    digests.remember("/a", STAMP, "digest")
    Jobs(database, 1).prune(timedelta(days=1))
    assert digests.known("/a", STAMP) == "digest"
    Jobs(database, 1).prune(timedelta(0))
    assert digests.known("/a", STAMP) is None
