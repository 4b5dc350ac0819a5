"""Where and how exactly a model computes."""

from typing import NamedTuple

import torch

from services.common.errors import StartupError
from services.embedder.encoder import Precision


class Placement(NamedTuple):
    device: torch.device
    dtype: torch.dtype


def placement(device: str, precision: Precision) -> Placement:
    """`device` is "auto" (the first GPU if there is one), "cpu", "cuda" or "cuda:N"; StartupError if not there."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = "cuda:0"
    index = torch.device(device).index or 0
    if device != "cpu" and index >= torch.cuda.device_count():
        raise StartupError(
            f"device {device} is not there: torch sees {torch.cuda.device_count()} GPUs; choose cpu or auto"
        )
    return Placement(torch.device(device), getattr(torch, precision))
