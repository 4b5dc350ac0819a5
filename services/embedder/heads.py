"""What was trained of the bundled model: heads on frozen towers, joined with ConSE in one space. See docs/lite.md.

ConSE (Norouzi et al., 2013, https://arxiv.org/abs/1312.5650): an image is the mix of ImageNet's classes that a
classifier sees in it, each class the sentence embedding of its name. It knows more of the world than the captions that
the heads were trained on; they know better what people say of a picture.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.embedder.pixels import Float32

LEVELS = 1536
"""Components of what MiniLM gives."""

FEATURES = 2024
"""Of the classifier: its top's, and those of lower levels, which know more of where and how than of what."""

WIDTH = 384
"""Components of a sentence embedding, of a class and of a head's vector."""

TEMPERATURE = 3.0
"""Softens the classifier's verdict: a scene is a little of many classes. Chosen on captioned photographs."""


class Conse(Float32):
    def __init__(self, classes: Tensor) -> None:
        """`classes`: their sentence embeddings, in the order of the classifier: (1000, 384)."""
        super().__init__()
        self.mean = nn.Buffer(classes.mean(dim=0), persistent=False)
        self.classes = nn.Buffer(classes - self.mean, persistent=False)

    def images(self, logits: Tensor) -> Tensor:
        """(B, 1000) to unit vectors (B, 384)."""
        return functional.normalize(torch.softmax(logits / TEMPERATURE, dim=1) @ self.classes, dim=1)

    def texts(self, sentences: Tensor) -> Tensor:
        """Levels of MiniLM, (B, 1536), to unit vectors (B, 384)."""
        return functional.normalize(sentences[:, :WIDTH] - self.mean, dim=1)


def roots(features: Tensor) -> Tensor:
    """Square roots with the sign: a few features are much larger than the others."""
    return features.abs().sqrt() * features.sign()


class ImageHead(nn.Module):
    """Features (B, 2024) to unit vectors (B, 384)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(FEATURES))
        self.deviation = nn.Buffer(torch.ones(FEATURES))
        self.hidden = nn.Linear(FEATURES, width)
        self.output = nn.Linear(width, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """Dropout is for training alone; so much of it, because photographs are few."""
        standard = (roots(features) - self.mean) / self.deviation
        hidden = functional.gelu(self.hidden(functional.dropout(standard, 0.4, self.training)))
        return functional.normalize(self.output(functional.dropout(hidden, 0.5, self.training)), dim=1)


class TextHead(nn.Module):
    """Levels of MiniLM, (B, 1536), to unit vectors (B, 384); before training, to the sentence embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(LEVELS, WIDTH)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, sentences: Tensor) -> Tensor:
        return functional.normalize(self.linear(sentences), dim=1)


class Heads(Float32):
    """Several pairs of heads and ConSE as one vector: (B, D), of about unit length."""

    def __init__(self, count: int, width: int, dimension: int) -> None:
        super().__init__()
        self.of_images = nn.ModuleList(ImageHead(width) for _ in range(count))
        self.of_texts = nn.ModuleList(TextHead() for _ in range(count))
        self.joint = nn.Buffer(torch.zeros((count + 1) * WIDTH, dimension))
        """The shares of heads and ConSE in the score, and how few components keep nearly all of it."""

    @classmethod
    def load(cls, weights: Mapping[str, Tensor]) -> "Heads":
        """From a state dict in any precision."""
        rows, dimension = weights["joint"].shape
        width = weights["of_images.0.hidden.bias"].shape[0]
        heads = cls(rows // WIDTH - 1, width, dimension)
        heads.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        return heads.eval()

    def images(self, features: Tensor, conse: Tensor) -> Tensor:
        return self.images_apart(features, conse) @ self.joint

    def texts(self, sentences: Tensor, conse: Tensor) -> Tensor:
        return self.texts_apart(sentences, conse) @ self.joint

    def images_apart(self, features: Tensor, conse: Tensor) -> Tensor:
        """Vectors of all heads and ConSE, one after the other."""
        return torch.cat([*(head(features) for head in self.of_images), conse], dim=1)

    def texts_apart(self, sentences: Tensor, conse: Tensor) -> Tensor:
        return torch.cat([*(head(sentences) for head in self.of_texts), conse], dim=1)
