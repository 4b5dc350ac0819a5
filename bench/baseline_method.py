"""The method that this project grew from, made again to be measured beside ours.

It is that of an article which showed a video search engine in about 150 lines. What is wrong with it is kept, because
it is the method: colors stay BGR, pixels are averaged instead of embeddings, frames are found by number instead of by
time, a query runs the whole model once a scene, nothing joins the three writes, and a file indexed again is another
video. One thing is kinder: a file without any cut is one scene here, where the article's detection finds none at all.
"""

import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict

import cv2
import numpy as np
import plyvel
import torch
from numpy.typing import NDArray
from scenedetect import ContentDetector, detect
from transformers import CLIPModel, CLIPProcessor

SAMPLES_PER_SCENE = 3


class VideoScore(TypedDict):
    video_id: str
    score: float
    video_uri: str


@dataclass(frozen=True, slots=True)
class Clip:
    """A CLIP checkpoint: its model and its preprocessing."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = CLIPModel.from_pretrained(folder, local_files_only=True).eval()
        return cls(model, CLIPProcessor.from_pretrained(folder, local_files_only=True))

    def pixels(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """What the model sees of a picture (H, W, 3): (1, 3, S, S)."""
        values: torch.Tensor = self.processor(images=picture, return_tensors="pt")["pixel_values"]
        return values

    def score(self, text: str, pixels: torch.Tensor) -> float:
        """`logits_per_image` of one forward pass of the whole model."""
        tokens = self.processor(text=[text], return_tensors="pt", padding=True)
        with torch.inference_mode():
            return float(self.model(**tokens, pixel_values=pixels).logits_per_image.item())


class Baseline:
    """The article's search engine: three LevelDB databases in one folder."""

    def __init__(self, clip: Clip, folder: Path) -> None:
        self._clip = clip
        self._videos = plyvel.DB(str(folder / "video_metadata"), create_if_missing=True)  # video id -> JSON
        self._scenes = plyvel.DB(str(folder / "scenes"), create_if_missing=True)  # video id -> scene ids, by commas
        self._pixels = plyvel.DB(str(folder / "scene_embeddings"), create_if_missing=True)  # scene id -> saved tensor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for database in (self._videos, self._scenes, self._pixels):
            database.close()

    def index(self, path: Path) -> str:
        """Index a video under a new id, which is returned."""
        video_id = str(uuid.uuid4())
        with opened(path) as capture:
            scene_pixels = [self._average_pixels(capture, *scene) for scene in find_scenes(path)]
        scene_ids = [str(uuid.uuid4()) for _ in scene_pixels]
        self._videos.put(video_id.encode(), json.dumps({"VideoURI": str(path)}).encode())
        for scene_id, pixels in zip(scene_ids, scene_pixels, strict=True):
            self._pixels.put(scene_id.encode(), _saved(pixels))
        self._scenes.put(video_id.encode(), ",".join(scene_ids).encode())
        return video_id

    def scene_count(self, video_id: str) -> int:
        return len(self._scenes.get(video_id.encode()).split(b","))

    def search(self, text: str, top_n: int) -> list[VideoScore]:
        """The best videos; a video's score is the mean over its scenes."""
        scores = [self._video_score(text, *row) for row in self._scenes]
        return sorted(scores, key=lambda video: video["score"], reverse=True)[:top_n]

    def _video_score(self, text: str, video_id: bytes, scene_ids: bytes) -> VideoScore:
        scenes = [self._clip.score(text, _loaded(self._pixels.get(scene_id))) for scene_id in scene_ids.split(b",")]
        uri = json.loads(self._videos.get(video_id))["VideoURI"]
        return VideoScore(video_id=video_id.decode(), score=sum(scenes) / len(scenes), video_uri=uri)

    def _average_pixels(self, capture: Any, start: int, end: int) -> torch.Tensor:
        """The mean over a scene's sample frames of what the model sees of each: (1, 3, S, S)."""
        samples = [self._clip.pixels(read_frame(capture, number)) for number in sample_frames(start, end)]
        return torch.stack(samples).mean(dim=0)


def find_scenes(path: Path) -> list[tuple[int, int]]:
    """First pass over the file: the scenes as half-open spans of frame numbers."""
    scenes = detect(str(path), ContentDetector(threshold=27.0), start_in_scene=True)
    return [(start.frame_num, end.frame_num) for start, end in scenes]


def sample_frames(start: int, end: int) -> list[int]:
    """Frame numbers that stand for a scene; in one of two frames the last is already the next scene's."""
    step = round((end - start) / SAMPLES_PER_SCENE)
    return [start + n * step for n in range(SAMPLES_PER_SCENE)]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    capture = cv2.VideoCapture(str(path))
    try:
        yield capture
    finally:
        capture.release()


def read_frame(capture: Any, number: int) -> NDArray[np.uint8]:
    """Second pass: one frame, found by seeking to its number; OpenCV gives it as BGR (H, W, 3)."""
    capture.set(cv2.CAP_PROP_POS_FRAMES, number)
    found, picture = capture.read()
    if not found:
        raise OSError(f"no frame {number}")
    frame: NDArray[np.uint8] = picture
    return frame


def _saved(tensor: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensor, buffer)
    return buffer.getvalue()


def _loaded(data: bytes) -> torch.Tensor:
    tensor: torch.Tensor = torch.load(io.BytesIO(data), weights_only=True)
    return tensor
