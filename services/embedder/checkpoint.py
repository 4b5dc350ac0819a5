"""Finds a CLIP-family checkpoint: a folder, the hub's cache on this machine, or the hub itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from services.common import hub
from services.common.errors import StartupError, VideosearchError


class Checkpoint(NamedTuple):
    """In float32 on the CPU. Objects of transformers, which has no types."""

    model: Any
    image_processor: Any
    tokenizer: Any


def load_checkpoint(name: str, *, offline: bool = False) -> Checkpoint:
    """Look in the folder `name` or the cache first, which need no network; StartupError says what else to try."""
    if Path(name).is_dir():
        return _usable(name, lambda: Path(name))
    try:
        return _usable(name, lambda: _fetched(name, offline=True))
    except StartupError:
        return _usable(name, lambda: _fetched(name, offline=offline))


def _usable(name: str, folder: Callable[[], Path]) -> Checkpoint:
    try:
        return _read(folder())
    except VideosearchError as error:
        raise _failure(name, f"it is no folder, and {error}") from None
    except Exception as error:  # noqa: BLE001 - for a damaged file the libraries raise all kinds, one of them just that
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise _failure(name, f"there is no usable model in it ({reason})") from None


def _fetched(name: str, *, offline: bool) -> Path:
    return hub.fetch(name, offline=offline)[0].parent


def _read(folder: Path) -> Checkpoint:
    """From files alone, and without code of the checkpoint's own: none is trusted, and weights hold none.

    Of weights transformers prefers safetensors; a `.bin` it reads by torch's loader that makes nothing but tensors.
    """
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    model, report = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **options)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise ValueError(f"{type(model).__name__} has no text and image towers")
    if report["missing_keys"]:
        raise ValueError(f"weights are missing, such as {min(report['missing_keys'])}")
    # Pillow, not torchvision: the same pixels on every machine, whatever else is installed there.
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **options)
    return Checkpoint(model, processor, AutoTokenizer.from_pretrained(folder, **options))


def _failure(name: str, reason: str) -> StartupError:
    return StartupError(
        f"no model {name!r}: {reason}. Set VIDEOSEARCH_EMBEDDER_MODEL to a local folder with a CLIP-family checkpoint, "
        "or fill the hub's cache (HF_HOME) from a machine with a network, or use the bundled model: lite"
    )
