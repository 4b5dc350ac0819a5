"""The embedder, as its callers use it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.common import convert, vectors
from services.common.clients.channel import Client
from services.common.media import FrameEmbeddings, Model, TextEmbedding, Vector
from videosearch.v1 import embedder_pb2, embedder_pb2_grpc, media_pb2

EMBED_TIMEOUT_S = 60.0


class EmbedderClient(Client):
    service = "videosearch.v1.EmbedderService"

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._stub: embedder_pb2_grpc.EmbedderServiceAsyncStub = embedder_pb2_grpc.EmbedderServiceStub(self._channel)

    async def model(self) -> Model:
        response = await self._call(self._stub.GetModel, embedder_pb2.GetModelRequest())
        return convert.model_from(response.model)

    async def embed_text(self, text: str) -> TextEmbedding:
        request = embedder_pb2.EmbedTextsRequest(texts=[text])
        response = await self._call(self._stub.EmbedTexts, request, EMBED_TIMEOUT_S)
        (result,) = response.embeddings
        return TextEmbedding(_vector(result.embedding), result.embedding.model, result.truncated)

    async def embed_frames(self, frames: Sequence[NDArray[np.uint8]]) -> FrameEmbeddings:
        """Embed RGB frames, each (H, W, 3)."""
        images = [embedder_pb2.Image(raw=_raw_image(frame)) for frame in frames]
        request = embedder_pb2.EmbedImagesRequest(images=images)
        response = await self._call(self._stub.EmbedImages, request, EMBED_TIMEOUT_S)
        matrix = np.stack([_vector(embedding) for embedding in response.embeddings])  # (B, D)
        return FrameEmbeddings(matrix, response.embeddings[0].model)


def _raw_image(frame: NDArray[np.uint8]) -> embedder_pb2.RawImage:
    return embedder_pb2.RawImage(width=frame.shape[1], height=frame.shape[0], rgb=frame.tobytes())


def _vector(embedding: media_pb2.Embedding) -> Vector:
    return vectors.from_bytes(embedding.vector)
