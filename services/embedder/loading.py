"""From a model's name to encoders in memory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.embedder.encoder import Encoder

if TYPE_CHECKING:  # with torch, for which the process must be set up first
    from services.embedder.towers import Towers

LITE = "lite"


@dataclass(frozen=True, slots=True)
class Choice:
    """What to load and how to compute it; "auto" leaves it to this machine."""

    model: str
    """"lite", a folder or a hub name."""
    device: str = "auto"
    back_end: str = "auto"
    precision: str = "auto"
    offline: bool = False
    """Never ask the network for a model."""


def load_towers(name: str, *, offline: bool = False) -> "Towers":
    """StartupError says what is missing."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    if name == LITE:
        from services.embedder.lite import load_lite

        return load_lite(name)
    from services.embedder.checkpoint import load_checkpoint
    from services.embedder.clip import clip_towers

    return clip_towers(name, load_checkpoint(name, offline=offline))


def load_encoders(choice: Choice) -> list[Encoder]:
    """One a GPU, or one on the CPU. StartupError says what is missing."""
    from services.embedder import choosing
    from services.embedder.device import devices
    from services.embedder.torch_engine import TorchEngine
    from services.embedder.tower_encoder import TowerEncoder

    towers = load_towers(choice.model, offline=choice.offline)
    first, *others = devices("cpu" if choice.back_end == "openvino" and choice.device == "auto" else choice.device)
    kinds = choosing.kinds(first, choice.back_end, choice.precision)
    engine, fingerprint = choosing.best(towers, first, kinds)
    replicas = [TorchEngine(towers, device, engine.precision, resizes=True) for device in others]
    return [TowerEncoder(towers, each, fingerprint) for each in (engine, *replicas)]
