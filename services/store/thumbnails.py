"""Images that are kept of scenes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from services.common.errors import NotFoundError
from services.common.media import NO_VECTOR, Sample, Scene, SceneHit, Thumbnail, VideoHit
from services.store.damage import damage
from services.store.database import Database
from services.store.index import Index
from services.store.scenes import SceneTable, with_images

H = TypeVar("H", SceneHit, VideoHit)

PAGE_BYTES = 4 << 20
"""Scenes are listed with images until they have so many bytes: a page is far from the limit of a message."""


def listed(database: Database, video_id: str, scenes: SceneTable, first: int, stop: int) -> tuple[Scene, ...]:
    """The scenes first <= ordinal < stop with their images; the first few of them if they are large."""
    found, size_bytes = list[Scene](), 0
    for scene in scenes.part(first, stop):
        if size_bytes >= PAGE_BYTES:
            break
        found.append(_with_images(database, video_id, scene))
        size_bytes += sum(len(sample.image) for sample in found[-1].samples)
    return tuple(found)


def nearest(database: Database, video_id: str, scenes: SceneTable, ordinal: int, offset_ns: int | None) -> Thumbnail:
    """Of a scene's images the one nearest to an offset, or else to its middle; NotFoundError if there is none."""
    if not 0 <= ordinal < len(scenes):
        raise NotFoundError(f"video {video_id!r} has no scene {ordinal}: it has {len(scenes)}, from 0 on")
    (scene,) = scenes.part(ordinal, ordinal + 1)
    kept = [sample for sample in _with_images(database, video_id, scene).samples if sample.image]
    if not kept:
        raise NotFoundError(
            f"no image was kept of scene {ordinal} of video {video_id!r}: index it again by an indexer with"
            " VIDEOSEARCH_INDEXER_IMAGES=scene or samples"
        )
    wanted_ns = (scene.segment.start_ns + scene.segment.end_ns) // 2 if offset_ns is None else offset_ns
    sample = _nearest(kept, wanted_ns)
    return Thumbnail(sample.image, sample.offset_ns)


def illustrated(hits: Iterable[H], thumbnail_of: Callable[[SceneHit], bytes]) -> tuple[H, ...]:
    """The hits with thumbnails; the first few of them if those are large."""
    found, size_bytes = list[H](), 0
    for hit in hits:
        if size_bytes >= PAGE_BYTES:
            break
        shown = [replace(scene, thumbnail=thumbnail_of(scene)) for scene in _scenes_of(hit)]
        found.append(replace(hit, scenes=tuple(shown)) if isinstance(hit, VideoHit) else shown[0])
        size_bytes += sum(len(scene.thumbnail) for scene in shown)
    return tuple(found)


def of_hit(database: Database, index: Index, hit: SceneHit) -> bytes:
    """Of the images kept of the hit's scene the one nearest to its best moment; empty if there is none."""
    scene = _scene(index, hit)
    kept = [sample for sample in _with_images(database, hit.video_id, scene).samples if sample.image]
    return _nearest(kept, hit.best_offset_ns).image if kept else b""


def _nearest(kept: Sequence[Sample], offset_ns: int) -> Sample:
    return min(kept, key=lambda sample: abs(sample.offset_ns - offset_ns))


def _scenes_of(hit: SceneHit | VideoHit) -> tuple[SceneHit, ...]:
    return hit.scenes if isinstance(hit, VideoHit) else (hit,)


def _scene(index: Index, hit: SceneHit) -> Scene:
    """The scene that was found, as it was then; without vectors."""
    place = index.bounds[index.number(hit.video_id)] + hit.ordinal
    offsets_ns = index.rows.offsets_ns[slice(*index.rows.bounds[place : place + 2])].tolist()
    return Scene(hit.ordinal, hit.segment, tuple(Sample(offset_ns, NO_VECTOR) for offset_ns in offsets_ns))


def _with_images(database: Database, video_id: str, scene: Scene) -> Scene:
    images = database.images(video_id, scene.ordinal)
    with damage(f"the images of scene {scene.ordinal} of video {video_id!r}"):
        return with_images(scene, images) if images else scene
