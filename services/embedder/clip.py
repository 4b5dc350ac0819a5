"""CLIP-family checkpoints as transformers loads them: CLIP, SigLIP, Chinese-CLIP, AltCLIP and others of two towers."""

import math
from typing import Any

from PIL import Image
from torch import Tensor, nn
from transformers.image_processing_backends import PilBackend

from services.embedder.checkpoint import Checkpoint
from services.embedder.encoder import Inputs
from services.embedder.fingerprint import fingerprint, tokenizer_settings
from services.embedder.pixels import Normalize, Resize
from services.embedder.tokens import TextTokenizer
from services.embedder.towers import Towers

FORMAL_SETTINGS = ("image_processor_type", "processor_class", "transformers_version")
"""Of an image processor: they name the library's classes and change nothing about the pixels."""


def clip_towers(name: str, checkpoint: Checkpoint) -> Towers:
    model, processor, tokenizer = checkpoint
    resize = _resize(processor)

    def prepare_image(image: Image.Image) -> Inputs:
        """As the checkpoint's own processor does it."""
        return {key: array[0] for key, array in processor(images=[image], return_tensors="np").items()}

    return Towers(
        name=name,
        fingerprint=fingerprint(model.state_dict(), _pixel_settings(processor), tokenizer_settings(tokenizer)),
        images=PixelTower(model, _normalize(processor)) if resize else ImageTower(model),
        texts=TextTower(model),
        prepare_image=resize or prepare_image,
        tokenize=_text_tokenizer(model, tokenizer),
        image_size=_image_size(processor, model.config),
        logit_scale=_logit_scale(model),
        # Siglip2Model goes through the pictures one by one, so a trace of some holds their proportions.
        traceable=model.config.model_type != "siglip2",
    )


class PixelTower(nn.Module):
    """Takes bytes (B, H, W, 3), resized and cropped; a quarter of what normalized pixels take."""

    def __init__(self, model: Any, normalize: Normalize) -> None:
        super().__init__()
        self.model = model
        self.normalize = normalize

    def forward(self, pixels: Tensor) -> Tensor:
        return _projection(self.model.get_image_features(pixel_values=self.normalize(pixels).to(self.model.dtype)))


class ImageTower(nn.Module):
    """Takes what the checkpoint's own processor makes of an image. SigLIP2's NaFlex adds which patches there are."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixel_values: Tensor, pixel_attention_mask: Tensor | None = None, spatial_shapes: Tensor | None = None
    ) -> Tensor:
        given = _given(pixel_attention_mask=pixel_attention_mask, spatial_shapes=spatial_shapes)
        return _projection(self.model.get_image_features(pixel_values=pixel_values.to(self.model.dtype), **given))


class TextTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        given = _given(attention_mask=attention_mask, token_type_ids=token_type_ids)
        return _projection(self.model.get_text_features(input_ids=input_ids, **given))


def _given(**tensors: Tensor | None) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _projection(features: Any) -> Tensor:
    """What a tower returned: its projection or, since transformers 5, an output that holds it."""
    projection: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return projection


def _resize(processor: Any) -> Resize | None:
    """What a processor does before it normalizes, if that is to resize and perhaps to crop; None if it is another."""
    # As in transformers: https://github.com/huggingface/transformers/blob/main/src/transformers/image_processing_backends.py
    if getattr(type(processor), "_preprocess", None) is not PilBackend._preprocess:  # noqa: SLF001 - whether it is that
        return None
    if not (processor.do_resize and processor.do_rescale and processor.do_normalize) or processor.do_pad:
        return None
    resample = Image.Resampling(int(processor.resample))
    size = dict(processor.size)
    if size.keys() == {"height", "width"} and not processor.do_center_crop:
        return Resize(size["height"], size["width"], resample)
    crop = dict(processor.crop_size or {})
    fits = size.keys() == {"shortest_edge"} and crop and size["shortest_edge"] >= max(crop.values())
    if fits and processor.do_center_crop:
        return Resize(crop["height"], crop["width"], resample, shortest_edge=size["shortest_edge"])
    return None


def _normalize(processor: Any) -> Normalize:
    return Normalize(processor.image_mean, processor.image_std, processor.rescale_factor)


def _text_tokenizer(model: Any, tokenizer: Any) -> TextTokenizer:
    positions = next(module for name, module in model.text_model.named_modules() if "position_embedding" in name)
    # RoBERTa, which AltCLIP has, counts positions from behind that of padding.
    unused = 0 if positions.padding_idx is None else positions.padding_idx + 1
    # SigLIP was trained on padded texts, without a mask, SigLIP2 moreover on lower case, which transformers 5 knows of
    # its NaFlex models only: https://huggingface.co/docs/transformers/model_doc/siglip2
    siglip = model.config.model_type.startswith("siglip")
    if siglip:  # whatever the checkpoint's file leaves out
        tokenizer.model_input_names, tokenizer.padding_side = ["input_ids"], "right"
    return TextTokenizer(
        tokenizer,
        min(tokenizer.model_max_length, positions.num_embeddings - unused),
        always_full=siglip,
        lower_case=siglip and tokenizer.init_kwargs.get("do_lower_case", False),
    )


def _pixel_settings(processor: Any) -> dict[str, Any]:
    return {key: value for key, value in processor.to_dict().items() if key not in FORMAL_SETTINGS}


def _image_size(processor: Any, config: Any) -> int:
    if patches := getattr(processor, "max_num_patches", None):  # NaFlex: of a square
        return int(math.isqrt(patches) * processor.patch_size)
    size = getattr(processor, "size", None) or {}
    sides = [size[side] for side in ("shortest_edge", "height", "width") if size.get(side)]
    return int(min(sides, default=config.vision_config.image_size))


def _logit_scale(model: Any) -> float:
    """What the cosine was multiplied by in training; 0 if the model has no such factor."""
    scale = getattr(model, "logit_scale", None)
    return 0.0 if scale is None else float(scale.detach().exp())
