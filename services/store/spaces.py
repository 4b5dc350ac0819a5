"""Only embeddings of one model compare, the store's; while the store is empty it has none."""

from services.common.errors import InvalidInputError, PreconditionError
from services.store.records import Contents


def check_space(contents: Contents, model: str, dimension: int) -> None:
    """PreconditionError unless the store's embeddings are of that model, InvalidInputError unless of that dimension."""
    if not contents.video_count:
        return
    if model != contents.model:
        raise PreconditionError(
            f"the store holds embeddings of model {contents.model} (dimension {contents.dimension}) and was given one"
            f" of model {model} (dimension {dimension}): serve {contents.model} again, move the store to the other"
            " model (videosearch store reembed), or index the videos anew into an empty data folder"
        )
    if dimension != contents.dimension:
        raise InvalidInputError(f"an embedding of model {model} has {contents.dimension} components; got {dimension}")
