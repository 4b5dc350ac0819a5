"""Queries and results from and to protobuf."""

from services.common.convert import scene_hit_to, video_hit_to, video_to
from services.common.errors import InvalidInputError
from services.search.query import FoundScenes, FoundVideos
from videosearch.v1 import search_pb2

MAX_TEXT_LENGTH = 10_000


def text_from(text: str) -> str:
    """The query without the space around it."""
    text = text.strip()
    if not text:
        raise InvalidInputError("text is empty: describe in words what to find")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidInputError(f"text has {len(text)} characters: shorten it to {MAX_TEXT_LENGTH} or fewer")
    return text


def found_videos_to(found: FoundVideos) -> search_pb2.SearchVideosResponse:
    return search_pb2.SearchVideosResponse(
        hits=[video_hit_to(hit) for hit in found.hits], query_truncated=found.query_truncated
    )


def found_scenes_to(found: FoundScenes) -> search_pb2.SearchScenesResponse:
    return search_pb2.SearchScenesResponse(
        hits=[scene_hit_to(hit) for hit in found.hits],
        videos=[video_to(video) for video in found.videos],
        query_truncated=found.query_truncated,
    )
