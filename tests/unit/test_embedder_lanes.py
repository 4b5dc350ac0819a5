import asyncio
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import vectors
from services.common.errors import DeadlineError, UnavailableError
from services.embedder.embedder import Embedder, Limits
from services.embedder.encoder import DeviceLostError, PreparedText
from services.embedder.images import RawImage
from services.embedder.lanes import Call, Lanes
from services.embedder.replica import Replica
from tests.encoders import CountingEncoder, steady_clock, vector_of

FOUR = {"texts": lambda waiting: min(4, waiting), "images": lambda waiting: min(4, waiting)}
LATER = float("inf")


@pytest.fixture
async def lanes():
    lanes = Lanes(asyncio.get_running_loop())
    yield lanes
    lanes.close(UnavailableError("the test is over"))


def waiting(lanes, lane, items, deadline=LATER):
    """A call in a lane; its items are the letters of a word."""
    call = Call(items, deadline)
    lanes.put(lane, call)
    return call


def taken(lanes, choose=FOUR):
    return "".join(lanes.take(choose).items)


async def test_calls_share_a_batch(lanes):
    for item in "abc":
        waiting(lanes, "images", item)
    assert taken(lanes) == "abc"


async def test_a_short_call_does_not_stand_behind_a_long_one(lanes):
    waiting(lanes, "images", "abcdefgh")
    waiting(lanes, "images", "x")
    waiting(lanes, "images", "yz")
    assert [taken(lanes), taken(lanes), taken(lanes)] == ["axyb", "czde", "fgh"]


async def test_more_calls_than_a_batch_holds_take_turns(lanes):
    for items in ("abcde", "ijkl", "pq", "st", "x", "yz"):
        waiting(lanes, "images", items)
    assert [taken(lanes), taken(lanes), taken(lanes)] == ["aips", "xybj", "qtzc"]


async def test_a_long_call_gets_through_beside_a_stream_of_short_ones(lanes):
    long = waiting(lanes, "images", "A" * 32)
    batches = 0
    while long.waiting:
        for _ in range(8):
            waiting(lanes, "images", "x")
        lanes.take({"images": lambda _: 8})
        batches += 1
    assert batches <= 64  # an item a turn would be more than 200


async def test_of_equal_calls_the_older_ends_first(lanes):
    waiting(lanes, "images", "abcdefg")
    waiting(lanes, "images", "ABCDEFG")
    assert [taken(lanes), taken(lanes), taken(lanes), taken(lanes)] == ["aAbc", "dBef", "gCDE", "FG"]


async def test_a_text_goes_before_images(lanes):
    waiting(lanes, "images", "abcdefgh")
    assert taken(lanes) == "abcd"
    waiting(lanes, "texts", "t")
    assert [taken(lanes), taken(lanes)] == ["t", "efgh"]


async def test_texts_do_not_starve_images(lanes):
    waiting(lanes, "images", "abcdefgh")
    waiting(lanes, "texts", "nopqrstuvwxyz")
    found = [taken(lanes) for _ in range(6)]
    assert found == ["nopq", "abcd", "rstu", "efgh", "vwxy", "z"]


async def test_the_batch_is_as_large_as_is_best_for_what_waits(lanes):
    asked = []
    waiting(lanes, "images", "abc")
    waiting(lanes, "images", "de")
    lanes.take({"images": lambda count: asked.append(count) or 2})
    lanes.take({"images": lambda count: asked.append(count) or 2})
    assert asked == [5, 3]


async def test_a_cancelled_call_is_forgotten(lanes):
    waiting(lanes, "images", "abcde").result.cancel()
    waiting(lanes, "images", "x")
    assert taken(lanes) == "x"


async def test_the_rest_of_a_call_is_forgotten_once_it_has_failed(lanes):
    waiting(lanes, "images", "abcde")
    lanes.take(FOUR).fail(ArithmeticError())
    waiting(lanes, "images", "x")
    assert taken(lanes) == "x"


async def test_a_call_whose_deadline_passed_is_told_so(lanes):
    late = waiting(lanes, "images", "abc", deadline=time.monotonic())
    waiting(lanes, "images", "x")
    assert taken(lanes) == "x"
    with pytest.raises(DeadlineError):
        await late.result


async def test_closing_fails_what_waits_and_what_comes(lanes):
    before = waiting(lanes, "images", "abc")
    lanes.close(UnavailableError("enough"))
    after = waiting(lanes, "texts", "t")
    for call in (before, after):
        with pytest.raises(UnavailableError, match="enough"):
            await call.result


async def test_closing_frees_those_that_wait_for_a_batch(lanes):
    taking = [asyncio.create_task(asyncio.to_thread(lanes.take, FOUR)) for _ in range(2)]
    lanes.close(UnavailableError("enough"))
    assert await asyncio.gather(*taking) == [None, None]


@pytest.fixture
async def encoder(monkeypatch):
    steady_clock(monkeypatch)
    return CountingEncoder()


@pytest.fixture
async def replica(lanes, encoder):
    """Warm, but not started: what is put in the lanes first waits there."""
    replica = Replica(encoder, lanes)
    await replica.warm(4)
    encoder.forget()
    yield replica
    encoder.gate.set()
    lanes.close(UnavailableError("the test is over"))
    await asyncio.to_thread(replica.close)


def texts(lanes, encoder, *items):
    return waiting(lanes, "texts", [encoder.prepare_text(item).inputs for item in items])


async def test_each_call_gets_its_own_rows_of_a_shared_batch(lanes, encoder, replica):
    one, two = texts(lanes, encoder, "a", "bc"), texts(lanes, encoder, "def")
    replica.start()
    np.testing.assert_allclose(await one.result, vectors.normalize([vector_of("a"), vector_of("bc")]))
    np.testing.assert_allclose(await two.result, vectors.normalize([vector_of("def")]))
    assert encoder.batches == [["a", "def", "bc"]]


async def test_a_failing_batch_fails_only_its_calls(lanes, encoder, replica):
    encoder.failures.append(ArithmeticError())
    calls = [texts(lanes, encoder, letter) for letter in "abcde"]  # a batch holds four
    replica.start()
    results = await asyncio.gather(*(call.result for call in calls), return_exceptions=True)
    assert [isinstance(result, RuntimeError) for result in results] == [True, True, True, True, False]


async def test_a_lost_device_fails_all_calls_and_is_told(lanes, encoder, replica):
    encoder.failures.append(DeviceLostError("gone"))
    calls = [texts(lanes, encoder, letter) for letter in "abcde"]
    with pytest.raises(DeviceLostError, match="gone"):
        await replica.start()
    for call in (*calls, texts(lanes, encoder, "f")):
        with pytest.raises(UnavailableError):
            await call.result
    assert len(encoder.batches) == 1


async def test_replicas_share_the_work(lanes, encoder, replica):
    other = CountingEncoder()
    second = Replica(other, lanes)
    await second.warm(4)
    other.forget()
    encoder.gate.clear()
    held = texts(lanes, encoder, "held")
    replica.start()
    await asyncio.to_thread(encoder.reached.wait)
    second.start()
    await texts(lanes, encoder, "free").result
    assert (encoder.batches, other.batches, held.result.done()) == ([["held"]], [["free"]], False)
    lanes.close(UnavailableError("the test is over"))
    await asyncio.to_thread(second.close)


class Unlucky(CountingEncoder):
    """An item is a number, its call and its index there. A batch with the number 13 fails, and the calls in it."""

    def __init__(self):
        self.failed = set()

    def prepare_image(self, image):
        return {"item": np.asarray(image)[0, 0]}

    def prepare_text(self, text):
        return PreparedText({"item": np.array([int(word) for word in text.split() if word.isdigit()] or [0])}, False)

    def encode_images(self, items):
        rows = [item["item"] for item in items]
        if any(number == 13 for number, *_ in rows):
            self.failed.update(call for _, call, _ in rows)
            raise ArithmeticError
        return vectors.normalize([row + 1.0 for row in rows])

    encode_texts = encode_images


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["texts", "images"]),
        st.lists(st.integers(0, 250), min_size=1, max_size=40),
        st.one_of(st.just(0), st.integers(1, 50)),  # cancelled after so many turns of the event loop, or not
    ),
    max_size=20,
)


@given(CALLS)
@settings(max_examples=30)
def test_whatever_happens_to_others_a_call_gets_its_own_rows_in_order(calls):
    asyncio.run(check_rows(calls))


async def check_rows(calls):
    encoders = [Unlucky(), Unlucky()]
    limits = Limits(max_batch=8, max_queue=10_000, max_queue_bytes=1 << 20, max_image_pixels=10)
    async with Embedder(limits) as embedder:
        await embedder.load(lambda: encoders)
        results = await asyncio.gather(
            *(embedded(embedder, ordinal, *call) for ordinal, call in enumerate(calls)), return_exceptions=True
        )
    for ordinal, ((_, numbers, turns), result) in enumerate(zip(calls, results, strict=True)):
        if isinstance(result, asyncio.CancelledError):
            assert turns
        elif isinstance(result, BaseException):
            assert ordinal in encoders[0].failed | encoders[1].failed
        else:
            expected = [[number + 1, ordinal + 1, index + 1] for index, number in enumerate(numbers)]
            np.testing.assert_allclose(result, vectors.normalize(expected), atol=1e-6)


async def embedded(embedder, ordinal, lane, numbers, turns):
    items = [(number, ordinal, index) for index, number in enumerate(numbers)]
    if lane == "texts":
        call = embedder.embed_texts([" ".join(map(str, item)) for item in items])
    else:
        call = embedder.embed_images([RawImage(1, 1, bytes(item)) for item in items])
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns:
        task.cancel()
    result = await task
    return result.matrix if lane == "texts" else result
