"""A video on its way in: checked scene by scene, complete only when all of it is there."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from services.common.errors import InvalidInputError
from services.common.media import MAX_IMAGE_BYTES, MAX_VIDEO_IMAGE_BYTES, Scene, Video
from services.store.scenes import Halves, Images, IndexedVideo, SceneTable

MAX_SCENES = 100_000
"""Held in memory until the video is complete: about 3 KB a scene of 512-d embeddings."""

MAX_SAMPLES_PER_SCENE = 64
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
MAX_OFFSET_NS = 2**63 - 1
"""About 292 years: offsets are kept in 64 bits."""


class Draft:
    """Each method raises InvalidInputError, naming the scene, for what no stored video can hold."""

    def __init__(self, video: Video) -> None:
        if not video.model:
            raise InvalidInputError("video.model is empty: give the fingerprint of the model that made the embeddings")
        self.video = video
        self._scenes: list[tuple[int, int, int]] = []  # start_ns, end_ns, sample count
        self._offsets_ns: list[int] = []
        self._embeddings: list[Halves] = []
        self._images: dict[int, Images] = {}
        self._image_bytes = 0
        self._dimension = 0

    def add(self, scene: Scene) -> None:
        """Take the next scene."""
        if len(self._scenes) >= MAX_SCENES:
            raise InvalidInputError(
                f"video {self.video.video_id!r} has more than {MAX_SCENES} scenes, the most that the store accepts;"
                " index it with longer scenes, or in parts"
            )
        self._check_span(scene)
        self._check_samples(scene)
        self._add_images(scene)
        self._scenes.append((scene.segment.start_ns, scene.segment.end_ns, len(scene.samples)))
        self._offsets_ns.extend(sample.offset_ns for sample in scene.samples)
        self._embeddings.append(np.stack([sample.vector for sample in scene.samples]).astype(np.float16))

    def finish(self) -> IndexedVideo:
        """The video as it will be stored, stamped with the present time."""
        if not self._scenes:
            raise InvalidInputError(f"video {self.video.video_id!r} has no scenes; put at least one")
        columns = np.array(self._scenes, dtype=np.int64)  # (S, 3)
        starts_ns, ends_ns, sample_counts = np.ascontiguousarray(columns.T)
        scenes = SceneTable(starts_ns, ends_ns, sample_counts, np.array(self._offsets_ns, dtype=np.int64))
        video = replace(self.video, scene_count=len(scenes), index_time=datetime.now(UTC))
        return IndexedVideo(video, scenes, np.concatenate(self._embeddings), self._images)

    def _check_span(self, scene: Scene) -> None:
        expected = len(self._scenes)
        if scene.ordinal != expected:
            raise InvalidInputError(
                f"scene {scene.ordinal} came where scene {expected} was due: ordinals run from 0, no gap"
            )
        previous_end_ns = self._scenes[-1][1] if self._scenes else 0
        if scene.segment.start_ns < previous_end_ns:
            raise InvalidInputError(
                f"scene {scene.ordinal} starts at {scene.segment.start_ns} ns, before the end of the one before it"
                f" at {previous_end_ns} ns: scenes come in order of time and never overlap"
            )
        if scene.segment.end_ns > MAX_OFFSET_NS:
            raise InvalidInputError(f"scene {scene.ordinal} ends beyond {MAX_OFFSET_NS} ns")

    def _check_samples(self, scene: Scene) -> None:
        name = f"scene {scene.ordinal}"
        if not 1 <= len(scene.samples) <= MAX_SAMPLES_PER_SCENE:
            raise InvalidInputError(
                f"{name} has {len(scene.samples)} samples; it must have 1 to {MAX_SAMPLES_PER_SCENE}"
            )
        offsets_ns = [sample.offset_ns for sample in scene.samples]
        if offsets_ns != sorted(offsets_ns):
            raise InvalidInputError(f"{name}: its samples must come in order of time")
        start_ns, end_ns = scene.segment.start_ns, scene.segment.end_ns
        for offset_ns in (offsets_ns[0], offsets_ns[-1]):
            if not start_ns <= offset_ns < end_ns:
                raise InvalidInputError(
                    f"{name}: the sample at {offset_ns} ns is outside of its span [{start_ns}, {end_ns})"
                )
        self._dimension = self._dimension or scene.samples[0].vector.size
        if any(sample.vector.size != self._dimension for sample in scene.samples):
            raise InvalidInputError(f"{name}: all embeddings of a video have one length, here {self._dimension}")

    def _add_images(self, scene: Scene) -> None:
        images = tuple(sample.image for sample in scene.samples)
        for image in filter(None, images):
            if len(image) > MAX_IMAGE_BYTES or not (image.startswith(JPEG_START) and image.endswith(JPEG_END)):
                raise InvalidInputError(
                    f"scene {scene.ordinal}: an image is a JPEG of at most {MAX_IMAGE_BYTES} bytes; this one has"
                    f" {len(image)} and begins with {image[:3].hex()}"
                )
            self._image_bytes += len(image)
        if self._image_bytes > MAX_VIDEO_IMAGE_BYTES:
            raise InvalidInputError(
                f"scene {scene.ordinal}: with its images the video has more than {MAX_VIDEO_IMAGE_BYTES} bytes of them,"
                " the most that the store keeps; leave some out"
            )
        if any(images):
            self._images[scene.ordinal] = images
