"""Small CLIP-family checkpoints with random weights, in the folder layout of the hub."""

from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceTrainer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPImageProcessorPil,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    GemmaTokenizer,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipTokenizer,
    XLMRobertaTokenizer,
)

IMAGE_SIZE = 32
CLIP_TOKENS, SIGLIP_TOKENS, CHINESE_CLIP_TOKENS, ALTCLIP_TOKENS = 16, 12, 20, 24
DIMENSION = 24

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": IMAGE_SIZE, "patch_size": 8}

LETTERS = "abcdefghijklmnopqrstuvwxyz"


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
    return _save(folder, CLIPModel, CLIPConfig, text, CLIPImageProcessorPil, seed)


def make_chinese_clip(folder: Path, seed: int = 0) -> Path:
    """Its tokenizer names no limit, as the published ones: that of the positions counts."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "一", "狗"]
    tokenizer = BertTokenizer({word: number for number, word in enumerate(words)})
    tokenizer.save_pretrained(folder)
    text = {**TOWER, "vocab_size": len(words), "max_position_embeddings": CHINESE_CLIP_TOKENS}
    return _save(folder, ChineseCLIPModel, ChineseCLIPConfig, text, ChineseCLIPImageProcessorPil, seed)


def make_altclip(folder: Path, seed: int = 0) -> Path:
    """Its tokenizer names a greater limit than it has positions: RoBERTa leaves two of them unused."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [*special, "▁", *LETTERS, "<mask>"]
    tokenizer = XLMRobertaTokenizer([(piece, -1.0) for piece in pieces], model_max_length=ALTCLIP_TOKENS + 2)
    tokenizer.save_pretrained(folder)
    text = {
        **TOWER,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": ALTCLIP_TOKENS + 2,
        "project_dim": DIMENSION,
    }
    return _save(folder, AltCLIPModel, AltCLIPConfig, text, CLIPImageProcessorPil, seed)


def make_siglip(folder: Path, seed: int = 0) -> Path:
    # Pieces of single letters, trained on the alphabet: published checkpoints carry such a file too.
    training = {"sentence_iterator": iter([" ".join(LETTERS)] * 9), "vocab_size": 40}
    pieces = {"model_type": "char", "hard_vocab_limit": False, "bos_id": -1, "eos_id": 1, "unk_id": 2, "pad_id": 0}
    folder.mkdir(exist_ok=True)
    with (folder / "spiece.model").open("wb") as file:
        SentencePieceTrainer.train(model_writer=file, minloglevel=2, **training, **pieces)
    settings = {"model_max_length": SIGLIP_TOKENS, "model_input_names": ["input_ids"]}
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), **settings)
    tokenizer.save_pretrained(folder)
    return _save_siglip(folder, len(tokenizer), seed)


def make_siglip2(folder: Path, seed: int = 0) -> Path:
    """Of fixed resolution: a SigLIP with the tokenizer of Gemma."""
    settings = {"add_bos_token": False, "add_eos_token": True, "padding_side": "right", "do_lower_case": True}
    tokenizer = GemmaTokenizer(_gemma_pieces(), [], model_input_names=["input_ids"], **settings)
    tokenizer.save_pretrained(folder)
    return _save_siglip(folder, len(tokenizer), seed)


def make_naflex(folder: Path, seed: int = 0) -> Path:
    """SigLIP2 for pictures of any proportions: as many patches as fit, the rest masked."""
    settings = {"model_max_length": SIGLIP_TOKENS, "padding_side": "right", "model_input_names": ["input_ids"]}
    tokenizer = Siglip2Tokenizer(_gemma_pieces(), [], **settings)
    tokenizer.save_pretrained(folder)
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": SIGLIP_TOKENS}
    torch.manual_seed(seed)
    config = Siglip2Config(text_config=text, vision_config={**TOWER, "patch_size": 8, "num_patches": 16})
    Siglip2Model(config).save_pretrained(folder)
    Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(folder)
    return folder


FAMILIES = {
    "clip": make_clip,
    "chinese_clip": make_chinese_clip,
    "altclip": make_altclip,
    "siglip": make_siglip,
    "siglip2": make_siglip2,
    "naflex": make_naflex,
}


def _save(folder: Path, model: Any, config: Any, text: dict[str, Any], processor: Any, seed: int) -> Path:
    torch.manual_seed(seed)
    model(config(text_config=text, vision_config=VISION, projection_dim=DIMENSION)).save_pretrained(folder)
    _cropping(processor).save_pretrained(folder)
    return folder


def _save_siglip(folder: Path, vocabulary: int, seed: int) -> Path:
    text = {**TOWER, "vocab_size": vocabulary, "max_position_embeddings": SIGLIP_TOKENS}
    torch.manual_seed(seed)
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(folder)
    return folder


def _cropping(processor: type[CLIPImageProcessorPil]) -> CLIPImageProcessorPil:
    return processor(size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})


def _gemma_pieces() -> dict[str, int]:
    """Single letters of both cases: what is not made lower case gives other tokens."""
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS, *LETTERS.upper()]
    return {piece: number for number, piece in enumerate(pieces)}


def _byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of single bytes, inside and at the end of words, one merge, and the special tokens."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "th", "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}, [("t", "h")]
