"""The one table of our RPCs: who may call each, whether it may be asked again, and how large its messages are."""

from dataclasses import dataclass
from enum import IntEnum

SMALL_BYTES = 1 << 20
"""Names, options and free metadata."""

LARGE_BYTES = 16 << 20
"""Images, vectors, rankings with the metadata of many videos: above gRPC's default of 4 MiB."""


class Role(IntEnum):
    """What a caller may do; each role may do what those below it may."""

    READ = 1
    """Search and look."""
    WRITE = 2
    """Change what is indexed."""
    ADMIN = 3
    """What concerns the whole archive."""


@dataclass(frozen=True, slots=True)
class Method:
    role: Role
    idempotent: bool = False
    """A client may ask again when it does not know whether the first time arrived."""
    request_bytes: int = SMALL_BYTES
    """Largest message that the service takes; of a client stream, each."""
    response_bytes: int = SMALL_BYTES
    """Likewise, that a client takes."""


LOOK = Method(Role.READ, idempotent=True)
LIST = Method(Role.READ, idempotent=True, response_bytes=LARGE_BYTES)
FIND = Method(Role.READ, idempotent=True, request_bytes=LARGE_BYTES, response_bytes=LARGE_BYTES)
CHANGE = Method(Role.WRITE)
PUT = Method(Role.WRITE, request_bytes=LARGE_BYTES)

METHODS: dict[str, Method] = {
    f"/videosearch.v1.{service}/{name}": method
    for service, methods in {
        "EmbedderService": {"EmbedTexts": FIND, "EmbedImages": FIND, "GetModel": LOOK},
        "StoreService": {
            "PutVideo": PUT,
            "GetVideo": LOOK,
            "ListVideos": LIST,
            "UpdateVideo": CHANGE,
            "DeleteVideo": CHANGE,
            "ListScenes": LIST,
            "FindScenes": FIND,
            "FindVideos": FIND,
            "ScoreTimeline": FIND,
            "GetThumbnail": LIST,
            "PutEmbeddings": PUT,
            "ListMissingEmbeddings": LIST,
            "SwitchModel": Method(Role.ADMIN),
            "Backup": Method(Role.ADMIN, response_bytes=LARGE_BYTES),
            "GetStats": LOOK,
        },
        "IndexerService": {
            "IndexVideo": CHANGE,
            "UploadVideo": PUT,
            "GetIndexJob": LOOK,
            "ListIndexJobs": LIST,
            "WatchIndexJob": LOOK,
            "CancelIndexJob": CHANGE,
            "RestartIndexJob": CHANGE,
        },
        "SearchService": {"SearchVideos": FIND, "SearchScenes": FIND, "RecommendVideos": FIND, "ScoreTimeline": FIND},
    }.items()
    for name, method in methods.items()
}
"""By full name, as gRPC has it."""
