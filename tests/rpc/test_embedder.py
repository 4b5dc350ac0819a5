import asyncio
import contextlib
import logging
import threading
from dataclasses import replace
from functools import partial
from io import BytesIO

import grpc
import numpy as np
import pytest
from PIL import Image

from services.common import vectors
from services.common.clients.embedder import EmbedderClient
from services.common.errors import OverloadedError, UnavailableError
from services.embedder.embedder import Embedder, Limits
from services.embedder.encoder import DeviceLostError
from services.embedder.servicer import EmbedderServicer
from tests.encoders import CountingEncoder, steady_clock, vector_of
from tests.servers import serving
from videosearch.v1 import embedder_pb2, embedder_pb2_grpc

INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
LIMITS = Limits(max_batch=4, max_queue=300, max_queue_bytes=40 << 20, max_image_pixels=10_000)


@pytest.fixture
async def encoder(monkeypatch):
    """Loaded and warm; its gate opens again whatever the test does."""
    steady_clock(monkeypatch)
    encoder = CountingEncoder()
    yield encoder
    encoder.gate.set()


@contextlib.asynccontextmanager
async def embedding(encoder, limits=LIMITS, templates=()):
    """A server with a loaded encoder; yields its address."""
    async with Embedder(limits, templates) as embedder:
        await embedder.load(lambda: [encoder])
        encoder.forget()
        add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
        async with serving(EmbedderClient.service, add) as address:
            try:
                yield address
            finally:
                encoder.gate.set()


@pytest.fixture
async def address(encoder):
    async with embedding(encoder) as address:
        yield address


@pytest.fixture
async def stub(address):
    async with grpc.aio.insecure_channel(address) as channel:
        yield embedder_pb2_grpc.EmbedderServiceStub(channel)


def texts_of(*texts):
    return embedder_pb2.EmbedTextsRequest(texts=texts)


def images_of(*images):
    return embedder_pb2.EmbedImagesRequest(images=images)


def encoded(data):
    return embedder_pb2.Image(encoded=data)


def raw(width, height, rgb):
    return embedder_pb2.Image(raw=embedder_pb2.RawImage(width=width, height=height, rgb=rgb))


def file_of(color="red", size=(20, 10), kind="PNG"):
    data = BytesIO()
    Image.new("RGB", size, color).save(data, kind)
    return data.getvalue()


RED = encoded(file_of())


async def refusal(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_texts_are_embedded_in_order(stub):
    response = await stub.EmbedTexts(texts_of("a", "bcd"))
    expected = vectors.normalize([vector_of("a"), vector_of("bcd")])
    found = [vectors.from_bytes(result.embedding.vector) for result in response.embeddings]
    np.testing.assert_allclose(found, expected)


async def test_an_embedding_names_its_model(stub):
    response = await stub.EmbedTexts(texts_of("a"))
    assert response.embeddings[0].embedding.model == "f1"


async def test_a_truncated_text_is_flagged(stub):
    response = await stub.EmbedTexts(texts_of("short", "longer than it reads"))
    assert [result.truncated for result in response.embeddings] == [False, True]


async def test_a_file_and_plain_pixels_give_the_same(stub):
    response = await stub.EmbedImages(images_of(RED, raw(20, 10, bytes([255, 0, 0]) * 200)))
    assert response.embeddings[0] == response.embeddings[1]


async def test_images_keep_their_order_over_several_batches(stub):
    colors = [(shade, 0, 0) for shade in range(0, 250, 25)]
    response = await stub.EmbedImages(images_of(*(encoded(file_of(color)) for color in colors)))
    found = [vectors.from_bytes(embedding.vector) for embedding in response.embeddings]
    np.testing.assert_allclose(found, vectors.normalize([[red + 1, 1, 1] for red, _, _ in colors]), atol=1e-6)


async def test_a_long_call_is_cut_into_batches(stub, encoder):
    await stub.EmbedTexts(texts_of(*"abcdefghi"))
    assert encoder.batches == [[*"abcd"], [*"efgh"], ["i"]]


async def test_the_model_is_described(address):
    async with EmbedderClient(address) as client:
        assert await client.model() == CountingEncoder.model


async def test_frames_go_through_the_client(address):
    async with EmbedderClient(address) as client:
        found = await client.embed_frames([np.zeros((4, 6, 3), np.uint8)])
    assert (found.matrix.shape, found.model) == ((1, 3), "f1")


@pytest.mark.parametrize(
    ("texts", "said"),
    [([], "texts has 0 elements"), (["a"] * 257, "has 257"), (["a", ""], "texts[1] is empty"), ([" \n"], "texts[0]")],
)
async def test_bad_texts_are_refused(stub, texts, said):
    code, details = await refusal(stub.EmbedTexts(texts_of(*texts)))
    assert (code, said in details) == (INVALID, True)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], "images has 0 elements"),
        ([RED] * 257, "has 257 elements"),
        ([RED, embedder_pb2.Image()], "images[1] is empty"),
        ([RED, encoded(b"")], "images[1] is empty"),
        ([RED, encoded(b"no image at all")], "images[1]: not a JPEG, PNG or WebP file"),
        ([RED, encoded(file_of(kind="GIF"))], "images[1]: not a JPEG, PNG or WebP file"),
        ([encoded(file_of(size=(90, 90), kind="JPEG")[:400])], "images[0]: cannot be decoded"),
        ([RED, RED, encoded(file_of(size=(500, 500)))], "images[2]: 500x500 has more than 10000 pixels"),
        ([RED, raw(2, 2, bytes(11))], "images[1]: raw pixels of 2x2 take 12 bytes"),
        ([raw(0, 2, b"")], "images[0]: 0x2"),
        ([raw(2**31 - 1, 2**31 - 1, b"")], "more than 10000 pixels"),
    ],
)
async def test_bad_images_are_refused_by_their_index(stub, images, said):
    code, details = await refusal(stub.EmbedImages(images_of(*images)))
    assert code == INVALID
    assert said in details


async def test_of_several_bad_images_the_first_is_named(stub):
    _, details = await refusal(stub.EmbedImages(images_of(RED, encoded(b"x"), encoded(b"y"))))
    assert details.startswith("images[1]")


async def test_one_bad_image_keeps_all_from_the_model(stub, encoder):
    await refusal(stub.EmbedImages(images_of(RED, encoded(b"x"))))
    assert encoder.batches == []


async def test_a_message_over_the_size_limit_is_refused(stub):
    code, _ = await refusal(stub.EmbedTexts(texts_of("x" * (17 << 20))))
    assert code == EXHAUSTED


async def test_before_the_model_is_loaded_calls_are_told_to_retry():
    async with Embedder(LIMITS) as embedder:
        add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
        async with serving(EmbedderClient.service, add) as address, EmbedderClient(address) as client:
            with pytest.raises(UnavailableError, match="still being loaded"):
                await client.embed_texts(["a"])


@contextlib.asynccontextmanager
async def busy(stub, encoder):
    """While inside, the model is held up by the text "busy"."""
    encoder.gate.clear()
    call = asyncio.ensure_future(stub.EmbedTexts(texts_of("busy")))
    await asyncio.to_thread(encoder.reached.wait)
    try:
        yield
    finally:
        encoder.gate.set()
        await call


class Ended(logging.Handler):
    """Waits for the log line that ends a call."""

    def __init__(self):
        super().__init__()
        self.codes = asyncio.Queue()

    def emit(self, record):
        self.codes.put_nowait(record.code)


@pytest.fixture
def ended():
    handler, rpc_log = Ended(), logging.getLogger("services.rpc")
    rpc_log.addHandler(handler)
    level = rpc_log.level
    rpc_log.setLevel(logging.INFO)
    yield handler.codes
    rpc_log.setLevel(level)
    rpc_log.removeHandler(handler)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (replace(LIMITS, max_queue=3), "1 of 3 places taken and no room for 3 more"),
        (replace(LIMITS, max_queue_bytes=10), "4 of 10 bytes taken and no room for 9 more"),
    ],
)
async def test_a_full_queue_refuses_at_once(encoder, limits, said):
    async with (
        embedding(encoder, limits) as address,
        grpc.aio.insecure_channel(address) as channel,
        EmbedderClient(address) as client,
    ):
        stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
        async with busy(stub, encoder):
            code, details = await refusal(stub.EmbedTexts(texts_of("abc", "def", "ghi")))
            assert (code, said in details) == (EXHAUSTED, True)
            with pytest.raises(OverloadedError, match="retry with backoff"):
                await client.embed_frames([np.zeros((2, 2, 3), np.uint8)] * 3)
        assert len((await stub.EmbedTexts(texts_of("abc", "def", "ghi"))).embeddings) == 3  # all is free again


async def test_a_failing_batch_is_an_internal_error_and_the_next_is_embedded(stub, encoder, caplog):
    encoder.failures.append(ArithmeticError("secret detail"))
    code, details = await refusal(stub.EmbedTexts(texts_of("a")))
    assert (code, "secret" in details) == (grpc.StatusCode.INTERNAL, False)
    assert caplog.text.count("ArithmeticError: secret detail") == 1
    assert len((await stub.EmbedTexts(texts_of("b"))).embeddings) == 1


async def test_a_lost_device_makes_the_service_unavailable(encoder):
    async with Embedder(LIMITS) as embedder:
        await embedder.load(lambda: [encoder])
        add = partial(embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, EmbedderServicer(embedder))
        async with serving(EmbedderClient.service, add) as address, EmbedderClient(address) as client:
            encoder.failures.append(DeviceLostError("fell off the bus"))
            with pytest.raises(UnavailableError, match="device that the model runs on has failed"):
                await client.embed_texts(["a"])
            with pytest.raises(DeviceLostError, match="fell off the bus"):
                await embedder.until_lost()
            with pytest.raises(UnavailableError, match="the model has stopped"):
                await client.embed_texts(["a"])


async def test_a_text_does_not_wait_for_images_to_be_decoded(stub, encoder):
    decoding, go_on = threading.Event(), threading.Event()

    def prepare_image(image):
        decoding.set()
        go_on.wait(30)
        return {"mean": np.zeros(3) + 1}

    encoder.prepare_image = prepare_image
    images = [asyncio.ensure_future(stub.EmbedImages(images_of(*[RED] * 16))) for _ in range(8)]
    try:
        await asyncio.to_thread(decoding.wait)
        await asyncio.wait_for(stub.EmbedTexts(texts_of("a")), 10)
        assert not any(call.done() for call in images)
    finally:
        go_on.set()
        await asyncio.gather(*images)


async def test_a_text_is_embedded_in_every_template(encoder):
    templates = ["{}", "the {}s here"]
    async with embedding(encoder, templates=templates) as address, EmbedderClient(address) as client:
        (found,) = await client.embed_texts(["cat"])
    assert encoder.batches == [["cat", "the cats here"]]
    expected = vectors.normalize(vectors.normalize([vector_of("cat"), vector_of("the cats here")]).mean(axis=0))
    np.testing.assert_allclose(found.vector, expected, atol=1e-6)
    assert found.truncated  # in the longer template


async def test_a_cancelled_call_never_reaches_the_model(stub, encoder, ended):
    async with busy(stub, encoder):
        call = stub.EmbedTexts(texts_of("cancelled"), wait_for_ready=True)
        other = stub.EmbedImages(images_of(encoded(b"x")))  # sent after it on the same connection
        await refusal(other)
        assert await ended.get() == "INVALID_ARGUMENT"
        call.cancel()
        assert await ended.get() == "CANCELLED"
    await stub.EmbedTexts(texts_of("last"))
    assert encoder.batches == [["busy"], ["last"]]


async def test_a_call_whose_deadline_passed_never_reaches_the_model(stub, encoder, ended):
    async with busy(stub, encoder):
        code, _ = await refusal(stub.EmbedTexts(texts_of("late"), timeout=0.2))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        await ended.get()
    await stub.EmbedTexts(texts_of("last"))
    assert encoder.batches == [["busy"], ["last"]]
