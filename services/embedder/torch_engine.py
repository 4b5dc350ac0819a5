"""Towers computed by torch, on a CPU or a GPU."""

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from services.embedder.batches import stacked
from services.embedder.encoder import BackEnd, DeviceLostError, Inputs, Precision
from services.embedder.pixels import INPUT, Resize
from services.embedder.towers import Towers

WHOLE_PIXELS, WHOLE_ASPECT = 1 << 19, 4
"""A picture that a GPU resizes is no larger (a frame of 960x540) and no longer (longer over shorter side) than this: it
waits for the model as a whole, and is enlarged there to the model's shorter side."""


class TorchEngine:
    back_end: BackEnd = "torch"

    def __init__(self, towers: Towers, device: torch.device, precision: Precision, *, resizes: bool = False) -> None:
        """`resizes`: the device resizes pictures, where torch can do it as the model wants it."""
        # Float32 is the measure of the other precisions, so no tensor core may round it: TF32 is off.
        torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]  # torch does not declare it
        self.device = str(device)
        self.precision = precision
        self._device = device
        self._images, self._texts = _placed((towers.images, towers.texts), device, precision)
        self._prepare = towers.prepare_image
        self._resize: Resize | None = None
        if resizes and isinstance(self._prepare, Resize) and self._prepare.in_torch:
            self._resize = self._prepare

    def prepare_image(self, image: Image.Image) -> Inputs:
        long = max(image.size) > WHOLE_ASPECT * min(image.size)
        if self._resize and image.width * image.height <= WHOLE_PIXELS and not long:
            return {INPUT: np.asarray(image)}
        return self._prepare(image)

    def images(self, items: Sequence[Inputs]) -> NDArray[np.float32]:
        if self._resize is None:
            return self._run(self._images, partial(self._moved, stacked(items)))
        return self._run(self._images, partial(self._resized, self._resize, items))

    def texts(self, batch: Inputs) -> NDArray[np.float32]:
        return self._run(self._texts, partial(self._moved, batch))

    @torch.inference_mode()
    def _run(self, tower: nn.Module, inputs: Callable[[], dict[str, Tensor]]) -> NDArray[np.float32]:
        try:
            result: NDArray[np.float32] = tower(**inputs()).float().cpu().numpy()
        except torch.AcceleratorError as error:
            # An error of a kernel ends the context of the GPU: all later calls would fail as well.
            raise DeviceLostError(f"{self.device}: {str(error).splitlines()[0]}") from None
        return result

    def _resized(self, resize: Resize, items: Sequence[Inputs]) -> dict[str, Tensor]:
        """Pictures of one shape at a time; they are mostly of one film."""
        groups = defaultdict(list)
        for number, item in enumerate(items):
            groups[item[INPUT].shape].append(number)
        batches = [self._moved(stacked([items[number] for number in group])) for group in groups.values()]
        order = torch.tensor([number for group in groups.values() for number in group], device=self._device)
        return {INPUT: torch.cat([resize.on_device(batch[INPUT]) for batch in batches])[order.argsort()]}

    def _moved(self, batch: Inputs) -> dict[str, Tensor]:
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        if self._device.type == "cpu":
            return tensors
        # From pinned memory the copy needs no second one and nobody waits for it.
        return {name: tensor.pin_memory().to(self._device, non_blocking=True) for name, tensor in tensors.items()}


def _placed(towers: tuple[nn.Module, nn.Module], device: torch.device, precision: Precision) -> list[nn.Module]:
    """Copies where they must differ from the originals, which other engines are made of too.

    Both at once: what the towers share, in a checkpoint the whole model, is copied once.
    """
    if device.type != "cpu" or precision != "float32":
        towers = copy.deepcopy(towers)
    return [tower.eval().to(device, getattr(torch, precision)) for tower in towers]
