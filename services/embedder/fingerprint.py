"""What names an embedding space."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

LENGTH = 32


def fingerprint(weights: Mapping[str, Tensor], *settings: Any) -> str:
    """SHA-256, shortened, over weights by name as float32 and over what else decides about the vectors, as JSON."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {tuple(weights[name].shape)}\n".encode())
        digest.update(weights[name].to(torch.float32).cpu().contiguous().numpy().data)
    for setting in settings:
        digest.update(json.dumps(setting, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:LENGTH]


def tokenizer_settings(tokenizer: Any) -> Any:
    """What decides how a transformers tokenizer cuts texts, less the state that its calls leave behind."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.get_vocab()
    settings = json.loads(backend.to_str())
    return {key: value for key, value in settings.items() if key not in ("truncation", "padding")}
