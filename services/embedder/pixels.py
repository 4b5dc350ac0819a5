"""What happens to pixels before a network sees them: resized and cropped, then normalized, as in its training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from services.embedder.encoder import Inputs

INPUT = "pixels"
"""The name of the bytes (H, W, 3) among a tower's inputs."""

MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
"""What torch can resample as Pillow does."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Pictures to bytes (height, width, 3): all of it squeezed in, or cropped at the center."""

    height: int
    width: int
    resample: Image.Resampling
    shortest_edge: int | None = None
    """Of the picture before the crop, its proportions kept; at least `height` and `width`. None: squeezed, no crop."""

    @property
    def in_torch(self) -> bool:
        return self.resample in MODES

    def __call__(self, image: Image.Image) -> Inputs:
        """An RGB picture, by Pillow."""
        width, height = self._scaled(*image.size)
        resized = np.asarray(image.resize((width, height), self.resample))
        # A copy if anything is cropped: what waits for the model must not keep the whole of a long picture.
        crop = resized[self._crop(height, self.height), self._crop(width, self.width)]
        return {INPUT: np.ascontiguousarray(crop)}

    def on_device(self, pictures: Tensor) -> Tensor:
        """Pictures (B, H, W, 3) by torch: as Pillow mostly does it, rows before columns and each rounded to bytes."""
        width, height = self._scaled(pictures.shape[2], pictures.shape[1])
        result = pictures.permute(0, 3, 1, 2)
        for size in ((pictures.shape[1], width), (height, width)):
            if size != tuple(result.shape[2:]):
                mode = MODES[self.resample]
                result = functional.interpolate(result.float(), size, mode=mode, antialias=True).round().clamp(0, 255)
        crop = result[:, :, self._crop(height, self.height), self._crop(width, self.width)]
        return crop.byte().permute(0, 2, 3, 1)

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        if self.shortest_edge is None:
            return self.width, self.height
        shortest = min(width, height)
        return int(self.shortest_edge * width / shortest), int(self.shortest_edge * height / shortest)

    @staticmethod
    def _crop(side: int, wanted: int) -> slice:
        start = (side - wanted) // 2
        return slice(start, start + wanted)


class Float32(nn.Module):
    """Stays in float32 when the network around it is given another precision; it costs little."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor).device)

        apply: Callable[..., Self] = super()._apply
        return apply(move, recurse)


class Normalize(Float32):
    """Bytes (B, H, W, 3) to (B, 3, H, W), channels last in memory: (pixel * scale - mean) / std."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255) -> None:
        super().__init__()
        self.factor = nn.Buffer(scale / torch.tensor(std), persistent=False)  # (3,)
        self.shift = nn.Buffer(torch.tensor(mean) / torch.tensor(std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels * self.factor - self.shift).permute(0, 3, 1, 2)
