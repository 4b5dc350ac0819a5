"""What SearchService is asked and answers. The store's answers pass through as they are: hits are not unpacked."""

from collections.abc import Iterable, Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from services.common.convert import example_from, length_from
from services.common.errors import InvalidInputError
from services.common.ranking import StoredPart
from services.search import rocchio
from services.search.query import Found
from videosearch.v1 import media_pb2, search_pb2, store_pb2

MAX_EXAMPLES = 100

VIDEO_FIELDS = tuple(media_pb2.Video.DESCRIPTOR.fields_by_name)


def examples_from(request: search_pb2.RecommendVideosRequest) -> dict[str, StoredPart]:
    """By their names in the request, with their weights."""
    if not request.liked:
        raise InvalidInputError("liked is empty: give at least one example")
    length_from(len(request.liked) + len(request.disliked), 1, MAX_EXAMPLES, "liked with disliked")
    liked, disliked = rocchio.weights(len(request.liked), len(request.disliked))
    return _named("liked", request.liked, liked) | _named("disliked", request.disliked, disliked)


def unwanted_from(video_fields: FieldMask) -> Sequence[str]:
    """The fields of videos that are not asked for."""
    if not video_fields.paths:
        return ()
    for path in video_fields.paths:
        if path not in VIDEO_FIELDS:
            raise InvalidInputError(
                f"video_fields has {path[:100]!r}; it takes whole fields: {', '.join(VIDEO_FIELDS)}"
            )
    return [name for name in VIDEO_FIELDS if name != "video_id" and name not in video_fields.paths]


def videos_response(
    found: Found[store_pb2.FindVideosResponse], unwanted: Sequence[str]
) -> search_pb2.SearchVideosResponse:
    answer = found.answer
    _clear((hit.video for hit in answer.hits), unwanted)
    return search_pb2.SearchVideosResponse(
        hits=answer.hits,
        query_truncated=found.embedded.truncated,
        next_cursor=found.cursor(answer.next_cursor),
        filtered=answer.filtered,
    )


def scenes_response(
    found: Found[store_pb2.FindScenesResponse], unwanted: Sequence[str]
) -> search_pb2.SearchScenesResponse:
    answer = found.answer
    _clear(answer.videos, unwanted)
    return search_pb2.SearchScenesResponse(
        hits=answer.hits,
        videos=answer.videos,
        query_truncated=found.embedded.truncated,
        next_cursor=found.cursor(answer.next_cursor),
        filtered=answer.filtered,
    )


def recommendations_response(
    answer: store_pb2.FindVideosResponse, unwanted: Sequence[str]
) -> search_pb2.RecommendVideosResponse:
    _clear((hit.video for hit in answer.hits), unwanted)
    return search_pb2.RecommendVideosResponse(hits=answer.hits, filtered=answer.filtered)


def timeline_response(found: Found[store_pb2.ScoreTimelineResponse]) -> search_pb2.SearchServiceScoreTimelineResponse:
    return search_pb2.SearchServiceScoreTimelineResponse(
        points=found.answer.points, query_truncated=found.embedded.truncated
    )


def _named(field: str, examples: Sequence[search_pb2.Example], weight: float) -> dict[str, StoredPart]:
    names = [f"{field}[{place}]" for place in range(len(examples))]
    return {name: example_from(example, name, weight) for name, example in zip(names, examples, strict=True)}


def _clear(videos: Iterable[media_pb2.Video], unwanted: Sequence[str]) -> None:
    if unwanted:
        for video in videos:
            for name in unwanted:
                video.ClearField(name)  # type: ignore[arg-type]
