"""Images and another model's embeddings on the wire."""

import grpc
import numpy as np
import pytest

from services.common import convert
from services.common.errors import InvalidInputError, NotFoundError, PreconditionError
from services.common.media import Matrix, Scene, Video
from services.common.ranking import SceneRanking
from tests.stores import MODEL, image, query_of, scenes, video, with_images
from videosearch.v1 import media_pb2, store_pb2

NEW, THIRD = "model-b", "model-c"
X = np.float32([1, 0, 0, 0])
IMAGES = [image(1), b"", image(3)]
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def stored(client) -> Video:
    return await client.put_video(video(), with_images(scenes(2), IMAGES))


def matrices(its_scenes: list[Scene]) -> list[Matrix]:
    return [np.stack([sample.vector for sample in one.samples]) for one in its_scenes]


REMADE = matrices(scenes(2, dimension=4))


def header(stored: Video, **fields) -> store_pb2.PutEmbeddingsRequest:
    index_time = convert.video_to(stored).index_time
    return store_pb2.PutEmbeddingsRequest(
        header=store_pb2.EmbeddingsHeader(**{"video_id": "v", "index_time": index_time, "model": NEW, **fields})
    )


def message(*embeddings: media_pb2.Embedding) -> store_pb2.PutEmbeddingsRequest:
    return store_pb2.PutEmbeddingsRequest(scene=store_pb2.SceneEmbeddings(embeddings=embeddings))


async def test_images_come_back_as_they_were_put(client, stored):
    page = await client.scenes("v", include_images=True)
    assert [[sample.image for sample in one.samples] for one in page.items] == [IMAGES] * 2
    assert not any(sample.image for one in (await client.scenes("v")).items for sample in one.samples)
    thumbnail = await client.thumbnail("v", 1)
    assert (thumbnail.image, thumbnail.offset_ns) == (image(1), page.items[1].samples[0].offset_ns)
    assert (await client.thumbnail("v", 1, page.items[1].samples[2].offset_ns)).image == image(3)


async def test_a_scene_without_images_has_no_thumbnail(client, stored):
    await client.put_video(video("bare"), scenes(1))
    for video_id, ordinal in (("bare", 0), ("v", 2), ("v", -1), ("nowhere", 0)):
        with pytest.raises(NotFoundError):
            await client.thumbnail(video_id, ordinal)


async def test_what_is_no_jpeg_is_refused_with_its_scene(client):
    with pytest.raises(InvalidInputError, match="scene 0: an image is a JPEG"):
        await client.put_video(video(), with_images(scenes(1), [b"PNG", b"", b""]))


async def test_a_store_moves_to_another_model(client, stored):
    assert [one.video_id for one in (await client.missing_embeddings(NEW)).items] == ["v"]
    with pytest.raises(PreconditionError, match="missing for 1 of 1 videos"):
        await client.switch_model(NEW)
    await client.put_embeddings(stored, NEW, REMADE)
    assert (await client.missing_embeddings(NEW)).items == ()
    assert await client.switch_model(NEW) == 1
    hits = (await client.find_scenes(query_of(REMADE[1][2], NEW), SceneRanking())).hits
    assert hits[0].ordinal == 1
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    with pytest.raises(PreconditionError, match=f"{NEW}.*{MODEL}"):
        await client.find_scenes(query_of(scenes(1)[0].samples[0].vector), SceneRanking())
    assert (await client.stats()).model == NEW


async def test_missing_videos_come_in_pages(client):
    for name in "abc":
        await client.put_video(video(name), scenes(2))
    await client.put_embeddings(await client.video("b"), NEW, REMADE)
    first = await client.missing_embeddings(NEW, 1)
    second = await client.missing_embeddings(NEW, 1, first.next_page_token)
    assert [one.video_id for one in first.items + second.items] == ["a", "c"]
    assert second.next_page_token == ""


async def test_embeddings_are_refused_while_something_else_must_be_done_first(client, stored):
    with pytest.raises(PreconditionError, match="nothing to keep"):
        await client.put_embeddings(stored, MODEL, matrices(scenes(2)))
    await client.put_video(video(), scenes(2))
    with pytest.raises(PreconditionError, match="put anew"):
        await client.put_embeddings(stored, NEW, REMADE)
    await client.put_embeddings(await client.video("v"), NEW, REMADE)
    with pytest.raises(PreconditionError, match="discard"):
        await client.put_embeddings(await client.video("v"), THIRD, REMADE)
    await client.put_embeddings(await client.video("v"), THIRD, REMADE, discard=True)
    assert await client.switch_model(THIRD) == 1


async def test_embeddings_of_a_video_that_does_not_exist_are_refused(client, stored):
    await client.delete_video("v")
    with pytest.raises(NotFoundError):
        await client.put_embeddings(stored, NEW, REMADE)


VECTORS = [[convert.embedding_to(vector, NEW) for vector in matrix] for matrix in REMADE]
SCENES = [message(*embeddings) for embeddings in VECTORS]


@pytest.mark.parametrize(
    "requests",
    [
        lambda stored: [],
        lambda stored: SCENES,
        lambda stored: [header(stored), *SCENES, header(stored)],
        lambda stored: [header(stored)],
        lambda stored: [header(stored), SCENES[0]],
        lambda stored: [header(stored), *SCENES, SCENES[0]],
        lambda stored: [header(stored), SCENES[0], message(*VECTORS[1][:2])],
        lambda stored: [header(stored), SCENES[0], message()],
        lambda stored: [header(stored, model=""), *SCENES],
        lambda stored: [header(stored, model=THIRD), *SCENES],
        lambda stored: [header(stored, video_id="a/b"), *SCENES],
        lambda stored: [header(stored, index_time={"seconds": 10**17}), *SCENES],
        lambda stored: [header(stored), message(*[convert.embedding_to(2 * X, NEW)] * 3), SCENES[1]],
        lambda stored: [header(stored), message(*[convert.embedding_to(X[:2], NEW)] * 3), SCENES[1]],
    ],
)
async def test_malformed_embeddings_are_refused_and_none_are_kept(stub, client, stored, requests):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stub.PutEmbeddings(iter(requests(stored)))
    assert failure.value.code() == INVALID
    assert len((await client.missing_embeddings(NEW)).items) == 1


async def test_embeddings_of_another_length_than_those_before_are_refused(client, stored):
    await client.put_embeddings(stored, NEW, REMADE)
    with pytest.raises(InvalidInputError, match="4 components; got 6"):
        await client.put_embeddings(stored, NEW, matrices(scenes(2, dimension=6)))


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("ListMissingEmbeddings", store_pb2.ListMissingEmbeddingsRequest()),
        ("ListMissingEmbeddings", store_pb2.ListMissingEmbeddingsRequest(model=NEW, page_size=-1)),
        ("ListMissingEmbeddings", store_pb2.ListMissingEmbeddingsRequest(model=NEW, page_token="/")),
        ("SwitchModel", store_pb2.SwitchModelRequest()),
        ("GetThumbnail", store_pb2.GetThumbnailRequest(video_id="/")),
        ("GetThumbnail", store_pb2.GetThumbnailRequest(video_id="v", offset={"nanos": -1})),
    ],
)
async def test_malformed_requests_are_refused(stub, call, request_):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await getattr(stub, call)(request_)
    assert failure.value.code() == INVALID
