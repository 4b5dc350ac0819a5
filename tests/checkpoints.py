"""Small CLIP-family checkpoints with random weights, in the folder layout of the hub."""

from pathlib import Path

import torch
from sentencepiece import SentencePieceTrainer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipTokenizer,
)

IMAGE_SIZE = 32
CLIP_TOKENS, SIGLIP_TOKENS = 16, 12
DIMENSION = 24

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": IMAGE_SIZE, "patch_size": 8}


def make_clip(folder: Path, seed: int = 0) -> Path:
    vocabulary, merges = _byte_pairs()
    CLIPTokenizer(vocabulary, merges, model_max_length=CLIP_TOKENS).save_pretrained(folder)
    text = {
        **TOWER,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": CLIP_TOKENS,
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": vocabulary["<|endoftext|>"],
    }
    torch.manual_seed(seed)
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=DIMENSION)
    CLIPModel(config).save_pretrained(folder)
    size = {"shortest_edge": IMAGE_SIZE}
    crop = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    CLIPImageProcessorPil(size=size, crop_size=crop).save_pretrained(folder)
    return folder


def make_siglip(folder: Path, seed: int = 0) -> Path:
    # Pieces of single letters, trained on the alphabet: published checkpoints carry such a file too.
    training = {
        "sentence_iterator": iter(["a b c d e f g h i j k l m n o p q r s t u v w x y z"] * 9),
        "vocab_size": 40,
    }
    pieces = {"model_type": "char", "hard_vocab_limit": False, "bos_id": -1, "eos_id": 1, "unk_id": 2, "pad_id": 0}
    folder.mkdir(exist_ok=True)
    with (folder / "spiece.model").open("wb") as file:
        SentencePieceTrainer.train(model_writer=file, minloglevel=2, **training, **pieces)
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_max_length=SIGLIP_TOKENS)
    tokenizer.save_pretrained(folder)
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": SIGLIP_TOKENS}
    torch.manual_seed(seed)
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(folder)
    return folder


def _byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of single bytes, inside and at the end of words, one merge, and the special tokens."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "th", "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}, [("t", "h")]
