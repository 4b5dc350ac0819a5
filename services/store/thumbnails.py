"""Images that are kept of scenes."""

from services.common.errors import NotFoundError
from services.common.media import Scene, Thumbnail
from services.store.damage import damage
from services.store.database import Database
from services.store.scenes import SceneTable, with_images

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
    sample = min(kept, key=lambda sample: abs(sample.offset_ns - wanted_ns))
    return Thumbnail(sample.image, sample.offset_ns)


def _with_images(database: Database, video_id: str, scene: Scene) -> Scene:
    images = database.images(video_id, scene.ordinal)
    with damage(f"the images of scene {scene.ordinal} of video {video_id!r}"):
        return with_images(scene, images) if images else scene
