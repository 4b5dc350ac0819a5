"""The embedder's requests and responses. What only the wire can get wrong is refused here."""

from services.common import convert
from services.common.errors import InvalidInputError
from services.common.media import Matrix
from services.embedder.embedder import TextEmbeddings
from services.embedder.images import RawImage
from videosearch.v1 import embedder_pb2

MAX_ITEMS = 256


def texts_from(request: embedder_pb2.EmbedTextsRequest) -> list[str]:
    convert.length_from(len(request.texts), 1, MAX_ITEMS, "texts")
    for index, text in enumerate(request.texts):
        if not text.strip():
            raise InvalidInputError(f"texts[{index}] is empty")
    return list(request.texts)


def images_from(request: embedder_pb2.EmbedImagesRequest) -> list[bytes | RawImage]:
    convert.length_from(len(request.images), 1, MAX_ITEMS, "images")
    return [_image_from(image, index) for index, image in enumerate(request.images)]


def _image_from(image: embedder_pb2.Image, index: int) -> bytes | RawImage:
    if image.HasField("raw"):
        return RawImage(image.raw.width, image.raw.height, image.raw.rgb)
    if not image.encoded:
        raise InvalidInputError(f"images[{index}] is empty; set encoded or raw")
    return image.encoded


def texts_response(embeddings: TextEmbeddings, model: str) -> embedder_pb2.EmbedTextsResponse:
    results = [
        embedder_pb2.TextEmbedding(embedding=convert.embedding_to(vector, model), truncated=truncated)
        for vector, truncated in zip(embeddings.matrix, embeddings.truncated, strict=True)
    ]
    return embedder_pb2.EmbedTextsResponse(embeddings=results)


def images_response(matrix: Matrix, model: str) -> embedder_pb2.EmbedImagesResponse:
    return embedder_pb2.EmbedImagesResponse(embeddings=[convert.embedding_to(vector, model) for vector in matrix])
