"""The pictures that the indexer keeps are those of the sampled frames, whatever happens on the way."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.common.jobs import JobState
from services.common.media import NANOSECONDS, Scene
from services.indexer.images import ImageRule, Keep
from tests.indexers import MODEL, ColorEmbedder, Indexing, embedder_serving, indexing
from tests.videos import frame_number, write_video

FPS = 30
SCENES = [40, 30, 50]
MANY_SCENES = [20 + n % 7 for n in range(40)]


async def scenes_of(world: Indexing, video_id: str) -> tuple[Scene, ...]:
    page = await world.store.scenes(video_id, 1000, include_images=True)
    assert page.next_page_token == ""
    return page.items


def shown_number(image: bytes) -> int:
    """Of the frame that the image shows."""
    return frame_number(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("side", [0, 96])
async def test_each_sample_has_the_picture_of_its_frame(tmp_path: Path, embedder: ColorEmbedder, side: int) -> None:
    rule = ImageRule(Keep.SAMPLES, side)
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, rule=rule) as world:
        job = await world.ended(write_video(world.root / "film.mp4", SCENES, fps=FPS).path)
        samples = [sample for scene in await scenes_of(world, job.video_id) for sample in scene.samples]
    assert len(samples) > len(SCENES)
    assert [shown_number(sample.image) for sample in samples] == [
        round(sample.offset_ns * FPS / NANOSECONDS) for sample in samples
    ]
    sizes = {cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR).shape[0] for sample in samples}
    assert sizes == {side or MODEL.image_size}


async def test_a_scene_has_one_image_that_can_be_looked_up(tmp_path: Path, embedder: ColorEmbedder) -> None:
    async with embedder_serving(embedder) as address, indexing(tmp_path, address, rule=ImageRule(Keep.SCENE)) as world:
        job = await world.ended(write_video(world.root / "film.mp4", SCENES, fps=FPS).path)
        for scene in await scenes_of(world, job.video_id):
            (kept,) = (sample for sample in scene.samples if sample.image)
            thumbnail = await world.store.thumbnail(job.video_id, scene.ordinal)
            assert (thumbnail.image, thumbnail.offset_ns) == (kept.image, kept.offset_ns)


async def test_no_image_is_kept_unless_asked_for(world: Indexing) -> None:
    job = await world.ended(write_video(world.root / "film.mp4", SCENES).path)
    assert not any(sample.image for scene in await scenes_of(world, job.video_id) for sample in scene.samples)


async def test_a_job_that_goes_on_has_the_images_from_before(tmp_path: Path, embedder: ColorEmbedder) -> None:
    rule = ImageRule(Keep.SAMPLES)
    async with embedder_serving(embedder) as address:
        async with indexing(tmp_path, address, rule=rule) as world:
            film = write_video(world.root / "film.mp4", MANY_SCENES)
            whole = await world.ended(film.path, video_id="whole")
            total, embedder.pause_at = embedder.image_count, embedder.image_count * 17 // 10
            job = await world.client.index_video(str(film.path), video_id="resumed")
            await embedder.paused.wait()
        before, embedder.pause_at = embedder.image_count, -1
        embedder.going.set()
        async with indexing(tmp_path, address, rule=rule) as world:
            assert (await world.end_of(job.job_id)).state is JobState.SUCCEEDED
            assert embedder.image_count - before < total  # it did go on
            expected, found = [await scenes_of(world, video_id) for video_id in ("whole", "resumed")]
    assert len(found) == whole.scene_count
    assert all(sample.image for scene in found for sample in scene.samples)
    for one, other in zip(found, expected, strict=True):
        assert [sample.image for sample in one.samples] == [sample.image for sample in other.samples]


async def test_a_job_that_shall_keep_other_images_starts_over(tmp_path: Path, embedder: ColorEmbedder) -> None:
    embedder.pause_at = 40
    async with embedder_serving(embedder) as address:
        async with indexing(tmp_path, address, rule=ImageRule(Keep.SCENE)) as world:
            film = write_video(world.root / "film.mp4", MANY_SCENES)
            job = await world.client.index_video(str(film.path))
            await embedder.paused.wait()
        embedder.pause_at = -1
        embedder.going.set()
        async with indexing(tmp_path, address, rule=ImageRule(Keep.SAMPLES)) as world:
            resumed = await world.end_of(job.job_id)
            scenes = await scenes_of(world, resumed.video_id)
    assert all(sample.image for scene in scenes for sample in scene.samples)
