"""EmbedderService over gRPC."""

from services.common import convert as common_convert
from services.common.interceptors import Context
from services.embedder import convert
from services.embedder.embedder import Embedder
from videosearch.v1 import embedder_pb2, embedder_pb2_grpc


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def EmbedTexts(
        self, request: embedder_pb2.EmbedTextsRequest, context: Context
    ) -> embedder_pb2.EmbedTextsResponse:
        embeddings = await self._embedder.embed_texts(convert.texts_from(request))
        return convert.texts_response(embeddings, self._embedder.model.fingerprint)

    async def EmbedImages(
        self, request: embedder_pb2.EmbedImagesRequest, context: Context
    ) -> embedder_pb2.EmbedImagesResponse:
        matrix = await self._embedder.embed_images(convert.images_from(request))
        return convert.images_response(matrix, self._embedder.model.fingerprint)

    async def GetModel(self, request: embedder_pb2.GetModelRequest, context: Context) -> embedder_pb2.GetModelResponse:
        return embedder_pb2.GetModelResponse(model=common_convert.model_to(self._embedder.model))
