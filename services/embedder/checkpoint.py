"""Finds a CLIP-family checkpoint: a folder, the hub's cache on this machine, or the hub itself."""

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from services.common.errors import StartupError

HUB_TIMEOUT_S = 5.0

UNUSABLE = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)
"""What transformers raises for a checkpoint that is not there, damaged, or of a kind that it does not know."""


class Checkpoint(NamedTuple):
    """In float32 on the CPU. Objects of transformers, which has no types."""

    model: Any
    image_processor: Any
    tokenizer: Any


def load_checkpoint(name: str) -> Checkpoint:
    """Look in the folder `name` or the cache first, which need no network; StartupError says what else to try."""
    try:
        return _read(name, local_files_only=True)
    except UNUSABLE as error:
        if Path(name).is_dir():
            raise _failure(name, f"the folder holds no usable model ({_first_line(error)})") from None
    if not _hub_answers():
        raise _failure(name, f"it is neither a folder nor in the cache, and {constants.ENDPOINT} cannot be reached")
    try:
        return _read(name, local_files_only=False)
    except UNUSABLE as error:
        raise _failure(name, f"the hub has no usable model of that name ({_first_line(error)})") from None


def _read(name: str, *, local_files_only: bool) -> Checkpoint:
    options: dict[str, Any] = {"local_files_only": local_files_only}
    model, report = AutoModel.from_pretrained(name, dtype=torch.float32, output_loading_info=True, **options)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise ValueError(f"{type(model).__name__} has no text and image towers")
    if report["missing_keys"]:
        raise ValueError(f"weights are missing, such as {min(report['missing_keys'])}")
    # Pillow, not torchvision: the same pixels on every machine, whatever else is installed there.
    processor = AutoImageProcessor.from_pretrained(name, backend="pil", **options)
    return Checkpoint(model, processor, AutoTokenizer.from_pretrained(name, **options))


def _hub_answers() -> bool:
    """Asked once and briefly: transformers itself would try each of many files for half a minute."""
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 - the operator's own setting
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S):  # noqa: S310 - as above
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):  # no network; HF_ENDPOINT is no URL
        return False


def _failure(name: str, reason: str) -> StartupError:
    return StartupError(
        f"no model {name!r}: {reason}. Set VIDEOSEARCH_EMBEDDER_MODEL to a local folder with a CLIP-family checkpoint, "
        "or fill the hub's cache (HF_HOME) from a machine with a network, or use the bundled model: lite"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
