"""A CLIP checkpoint of the usual size with random weights: useless for finding anything, as fast as the real one."""

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from tools.samples import ROOT

MAX_TOKENS = 77

RANDOM_CLIP = ROOT / ".cache" / "random-clip"
"""ViT-B/32 with random weights: no checkpoint can be shipped, and time does not depend on the weights."""


def random_clip() -> Path:
    """The folder of RANDOM_CLIP, written first if it is missing."""
    if not RANDOM_CLIP.exists():
        write_random_clip(RANDOM_CLIP)
    return RANDOM_CLIP


def write_random_clip(folder: Path, *, seed: int = 0, **config: Any) -> None:
    """Write model, tokenizer and preprocessor in the layout that a hub uses.

    Without `config` (arguments of CLIPConfig) the model has the size of ViT-B/32: 151 million parameters, 605 MB.
    """
    vocabulary = _vocabulary()
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=MAX_TOKENS)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**config.pop("text_config", {}), **ends, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, **config))
    model.save_pretrained(folder)
    side = model.config.vision_config.image_size
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(folder)


def _vocabulary() -> dict[str, int]:
    """A byte-level vocabulary without merges: each letter is a token, inside a word and at its end."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}
