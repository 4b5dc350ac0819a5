"""The embedder, as its callers use it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.common import convert, vectors
from services.common.clients.channel import Client
from services.common.media import FrameEmbeddings, Model, TextEmbedding
from videosearch.v1 import embedder_pb2, embedder_pb2_grpc

EMBED_TIMEOUT_S = 60.0


class EmbedderClient(Client["embedder_pb2_grpc.EmbedderServiceAsyncStub"]):
    service = "videosearch.v1.EmbedderService"
    stub_type = embedder_pb2_grpc.EmbedderServiceStub

    async def model(self) -> Model:
        response = await self._call(self._stub.GetModel, embedder_pb2.GetModelRequest())
        return convert.model_from(response.model)

    async def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """One for each text, in their order."""
        request = embedder_pb2.EmbedTextsRequest(texts=texts)
        response = await self._call(self._stub.EmbedTexts, request, EMBED_TIMEOUT_S)
        return [
            TextEmbedding(vectors.from_bytes(result.embedding.vector), result.embedding.model, result.truncated)
            for result in response.embeddings
        ]

    async def embed_frames(self, frames: Sequence[NDArray[np.uint8]]) -> FrameEmbeddings:
        """Embed RGB frames, each (H, W, 3)."""
        raws = (embedder_pb2.RawImage(width=f.shape[1], height=f.shape[0], rgb=f.tobytes()) for f in frames)
        return await self._embed([embedder_pb2.Image(raw=raw) for raw in raws])

    async def embed_images(self, images: Sequence[bytes]) -> FrameEmbeddings:
        """Embed images that are files of JPEG, PNG or WebP."""
        return await self._embed([embedder_pb2.Image(encoded=image) for image in images])

    async def _embed(self, images: Sequence[embedder_pb2.Image]) -> FrameEmbeddings:
        request = embedder_pb2.EmbedImagesRequest(images=images)
        response = await self._call(self._stub.EmbedImages, request, EMBED_TIMEOUT_S)
        matrix = np.stack([vectors.from_bytes(embedding.vector) for embedding in response.embeddings])  # (B, D)
        return FrameEmbeddings(matrix, response.embeddings[0].model)
