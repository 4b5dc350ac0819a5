"""Towers computed by OpenVINO on a CPU: the extra `openvino`."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from services.common.errors import StartupError
from services.embedder.batches import stacked
from services.embedder.encoder import BackEnd, Inputs, Precision
from services.embedder.towers import Towers

# Its tools would report each use to their maker; they take a missing package for a no.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

try:
    import openvino
except ImportError:
    raise StartupError(
        "the back end openvino is not installed: pip install 'videosearch[openvino]', "
        "or set VIDEOSEARCH_EMBEDDER_BACK_END to auto or torch"
    ) from None


class OpenVinoEngine:
    back_end: BackEnd = "openvino"
    device = "cpu"

    def __init__(self, towers: Towers, precision: Precision, calibration: Sequence[Image.Image]) -> None:
        """`calibration`: pictures for int8, in which only the image tower is computed."""
        if precision == "bfloat16" and not has_bfloat16():
            raise StartupError("this CPU has no bfloat16 for OpenVINO; set VIDEOSEARCH_EMBEDDER_PRECISION to auto")
        self.precision = precision
        self.prepare_image = towers.prepare_image
        blank = self.prepare_image(Image.new("RGB", (towers.image_size, towers.image_size)))
        images = _converted(towers.images, stacked([blank, blank]))
        if precision == "int8":
            images = _quantized(images, [self.prepare_image(picture) for picture in calibration])
        word = towers.tokenize("word").inputs
        texts = _converted(towers.texts, towers.tokenize.collate([word, word]))
        half = has_bfloat16() and precision != "float32"
        self._images, self._texts = (_compiled(tower, half=half) for tower in (images, texts))

    def images(self, items: Sequence[Inputs]) -> NDArray[np.float32]:
        return _run(self._images, stacked(items))

    def texts(self, batch: Inputs) -> NDArray[np.float32]:
        return _run(self._texts, batch)


def has_bfloat16() -> bool:
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without bars of progress, and the tracer's warnings of what it takes for constant."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


class Positional(nn.Module):
    """A tower for tracing, which knows no inputs by name."""

    def __init__(self, tower: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.tower = tower.eval()
        self.names = names

    def forward(self, *tensors: Tensor) -> Tensor:
        result: Tensor = self.tower(**dict(zip(self.names, tensors, strict=True)))
        return result


def _converted(tower: nn.Module, example: Inputs) -> Any:
    """An OpenVINO model with the tower's inputs by name, and axes of any length."""
    tensors = tuple(torch.from_numpy(array) for array in example.values())
    with _quiet():
        model = openvino.convert_model(Positional(tower, tuple(example)), example_input=tensors)
    for node, name in zip(model.inputs, example, strict=True):
        node.set_names({name})
    return model


def _quantized(model: Any, calibration: Sequence[Inputs]) -> Any:
    with _quiet():
        import nncf

        nncf.set_log_level(logging.ERROR)
        batches = nncf.Dataset([stacked([item]) for item in calibration])
        return nncf.quantize(model, batches, subset_size=len(calibration), model_type=nncf.ModelType.TRANSFORMER)


def _compiled(model: Any, *, half: bool) -> Any:
    # LATENCY: one batch at a time on all cores.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16" if half else "f32"}
    return openvino.Core().compile_model(model, "CPU", settings)


def _run(model: Any, batch: Inputs) -> NDArray[np.float32]:
    result: NDArray[np.float32] = model(dict(batch))[0]
    return result
