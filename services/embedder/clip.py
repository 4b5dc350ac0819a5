"""CLIP-family checkpoints as transformers loads them: CLIP, SigLIP, Chinese-CLIP, AltCLIP and others of two towers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from services.common import vectors
from services.common.media import Matrix, Model
from services.embedder.checkpoint import Checkpoint
from services.embedder.device import Placement
from services.embedder.encoder import Pixels, TextEmbeddings
from services.embedder.fingerprint import fingerprint, tokenizer_settings
from services.embedder.tokens import Padding, TextTokenizer

FORMAL_SETTINGS = ("image_processor_type", "processor_class", "transformers_version")
"""Of an image processor: they name the library's classes and change nothing about the pixels."""


class ClipEncoder:
    def __init__(self, name: str, checkpoint: Checkpoint, placement: Placement) -> None:
        """`checkpoint` is moved to `placement`, in place."""
        model, processor, tokenizer = checkpoint
        # Both before the weights lose precision.
        logit_scale = _logit_scale(model)
        digest = fingerprint(model.state_dict(), _pixel_settings(processor), tokenizer_settings(tokenizer))
        self._placement = placement
        self._processor = processor
        self._tokenize = _text_tokenizer(model.config, tokenizer)
        self._clip = model.eval().to(*placement)
        self._model = Model(
            name=name,
            fingerprint=digest,
            dimension=self.encode_texts(["size"]).matrix.shape[1],
            image_size=_image_size(processor, model.config),
            max_text_tokens=self._tokenize.max_tokens,
            logit_scale=logit_scale,
            device=str(placement.device),
            precision=str(placement.dtype).removeprefix("torch."),
        )

    @property
    def model(self) -> Model:
        return self._model

    def prepare(self, image: Image.Image) -> Pixels:
        """As the checkpoint's own processor does it."""
        arrays = self._processor(images=[image], return_tensors="np")
        return {name: array[0] for name, array in arrays.items()}

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Pixels]) -> Matrix:
        inputs = {name: self._tensor(np.stack([image[name] for image in images])) for name in images[0]}
        return _unit(self._clip.get_image_features(**inputs))

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        tokens = self._tokenize(texts, self._placement.device)
        return TextEmbeddings(_unit(self._clip.get_text_features(**tokens.inputs)), tokens.truncated)

    def _tensor(self, array: Any) -> Tensor:
        """On the model's device, pixels in the model's precision; masks and shapes stay whole numbers."""
        tensor = torch.from_numpy(array).to(self._placement.device)
        return tensor.to(self._placement.dtype) if tensor.is_floating_point() else tensor


def _unit(features: Any) -> Matrix:
    """Unit rows (B, D) of what a tower returned: its projection or, since transformers 5, an output that holds it."""
    projection: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return vectors.normalize(projection.float().cpu().numpy())


def _text_tokenizer(config: Any, tokenizer: Any) -> TextTokenizer:
    max_tokens = min(tokenizer.model_max_length, config.text_config.max_position_embeddings)
    # SigLIP was trained on padded texts, without a mask: https://huggingface.co/docs/transformers/model_doc/siglip
    padding: Padding = "max_length" if config.model_type.startswith("siglip") else "longest"
    return TextTokenizer(tokenizer, max_tokens, padding)


def _pixel_settings(processor: Any) -> dict[str, Any]:
    return {key: value for key, value in processor.to_dict().items() if key not in FORMAL_SETTINGS}


def _image_size(processor: Any, config: Any) -> int:
    size = getattr(processor, "size", None) or {}
    sides = [size[side] for side in ("shortest_edge", "height", "width") if size.get(side)]
    return int(min(sides, default=config.vision_config.image_size))


def _logit_scale(model: Any) -> float:
    """What the cosine was multiplied by in training; 0 if the model has no such factor."""
    scale = getattr(model, "logit_scale", None)
    return 0.0 if scale is None else float(scale.detach().exp())
