"""Which back end computes a model, and in which precision: as told, or measured here and now."""

import importlib.util
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from PIL import Image

from services.common.errors import StartupError
from services.embedder.device import computes_well
from services.embedder.encoder import BackEnd, Encoder, Precision
from services.embedder.fidelity import SHARED_WORST, TEXTS, Fidelity, dead_leaves, fidelity
from services.embedder.fingerprint import fingerprint
from services.embedder.torch_engine import TorchEngine
from services.embedder.tower_encoder import Engine, TowerEncoder
from services.embedder.towers import Towers

log = logging.getLogger(__name__)

PICTURES, ROUNDS = 16, 2
"""What is timed: one batch of so many, this often, the best counts. Seconds of work where a model is slow."""

GPU_BATCHES = 4
"""So many times more on a GPU, which a small batch leaves idle."""


class Kind(NamedTuple):
    back_end: BackEnd
    precision: Precision


REFERENCE = Kind("torch", "float32")

KINDS = (
    REFERENCE,
    Kind("torch", "bfloat16"),
    Kind("torch", "float16"),
    Kind("openvino", "float32"),
    Kind("openvino", "bfloat16"),
)

INT8 = Kind("openvino", "int8")
"""Only when told to: pictures made here cannot vouch for it. A ViT-B/32 of random weights had a worst cosine of 0.9995
on those, which calibrated it, and of 0.979 on photographs."""

USELESS_WORST = 0.98
"""A worst cosine that shows, even on pictures made here, that int8 is no good for a model. `lite` has 0.91 on those,
and finds nothing on photographs."""


def kinds(device: torch.device, back_end: str, precision: str) -> list[Kind]:
    """What the settings allow; of several only what may pay on this machine."""
    allowed = [
        kind
        for kind in (*KINDS, INT8)
        if back_end in ("auto", kind.back_end)
        and (precision == kind.precision or (precision == "auto" and kind != INT8))
        and (kind.back_end == "torch" or device.type == "cpu")
    ]
    if not allowed:
        raise StartupError(
            f"back end {back_end} does not compute {precision} on {device}: torch has float32, bfloat16 and float16, "
            "openvino (on CPUs) float32, bfloat16 and int8; auto leaves the choice to this machine"
        )
    usable = {"torch", "openvino" if importlib.util.find_spec("openvino") else "torch"}
    paying = [kind for kind in allowed if kind.back_end in usable and computes_well(device, kind.precision)]
    return paying or allowed[:1]


def best(towers: Towers, device: torch.device, kinds: Sequence[Kind]) -> tuple[Engine, str]:
    """An engine of one of `kinds`, and the fingerprint for its vectors."""
    kinds = [kind for kind in kinds if towers.traceable or kind.back_end == "torch"]
    if not kinds:
        raise StartupError(f"only torch computes {towers.name}; set VIDEOSEARCH_EMBEDDER_BACK_END to auto or torch")
    if kinds == [REFERENCE] and device.type == "cpu":
        return engine(towers, device, REFERENCE), towers.fingerprint
    reference = TorchEngine(towers, device, "float32")
    trial = fastest(towers, reference, _engines(towers, device, kinds))
    return trial.engine, fingerprint_of(towers, trial)


def engine(towers: Towers, device: torch.device, kind: Kind) -> Engine:
    if kind.back_end == "torch":
        return TorchEngine(towers, device, kind.precision, resizes=device.type == "cuda")
    from services.embedder.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(towers, kind.precision, dead_leaves(PICTURES, towers.image_size))


def _engines(towers: Towers, device: torch.device, kinds: Sequence[Kind]) -> Iterator[Engine]:
    """Without those that cannot be made here, while there are others."""
    for kind in kinds:
        try:
            made = engine(towers, device, kind)
        except Exception as error:
            if len(kinds) == 1 or kind == REFERENCE:
                raise
            log.warning("%s cannot compute %s in %s: %s", kind.back_end, towers.name, kind.precision, error)
        else:
            yield made


class Trial(NamedTuple):
    engine: Engine
    fidelity: Fidelity
    images_per_s: float

    @property
    def faithful(self) -> bool:
        """Whether its vectors may be mixed with those of the reference."""
        return self.engine.precision != INT8.precision and self.fidelity.worst >= SHARED_WORST

    def __str__(self) -> str:
        kind = f"{self.engine.back_end} {self.engine.precision}"
        return f"{kind} {self.images_per_s:.3g} images/s, worst cosine {self.fidelity.worst:.4f}"


def fastest(towers: Towers, reference: Engine, engines: Iterable[Engine]) -> Trial:
    """Of the faithful engines or, where none is (one may be told to use it), of all."""
    truth = TowerEncoder(towers, reference, towers.fingerprint)
    pictures = dead_leaves(PICTURES, towers.image_size)
    lines = []

    def trials() -> Iterator[Trial]:  # one at a time: what is not the best so far need not stay in memory
        for tried in engines:
            encoder = TowerEncoder(towers, tried, towers.fingerprint)
            trial = Trial(tried, fidelity(encoder, truth, pictures, TEXTS), _images_per_s(encoder, pictures))
            lines.append(str(trial))
            yield trial

    result = max(trials(), key=lambda trial: (trial.faithful, trial.images_per_s))
    log.info("measured %s; took %s %s", "; ".join(lines), result.engine.back_end, result.engine.precision)
    if result.engine.precision == INT8.precision and result.fidelity.worst < USELESS_WORST:
        raise StartupError(
            f"int8 does not keep what {towers.name} means (worst cosine to float32 {result.fidelity.worst:.2f}); "
            "set VIDEOSEARCH_EMBEDDER_PRECISION to auto"
        )
    if not result.faithful:
        log.warning("its vectors are not mixed with those of float32: they get a fingerprint of their own")
    return result


def fingerprint_of(towers: Towers, trial: Trial) -> str:
    """The model's own, or one that keeps vectors apart which may not be mixed with the reference's."""
    if trial.faithful:
        return towers.fingerprint
    return fingerprint({}, towers.fingerprint, trial.engine.back_end, trial.engine.precision)


def _images_per_s(encoder: Encoder, pictures: Sequence[Image.Image]) -> float:
    batches = 1 if encoder.model.device == "cpu" else GPU_BATCHES
    images = [encoder.prepare_image(picture) for picture in pictures] * batches
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        encoder.encode_images(images)
        seconds.append(time.perf_counter() - start)
    return len(images) / min(seconds)
