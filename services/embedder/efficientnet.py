"""EfficientNet-Lite0, a classifier over the 1,000 classes of ImageNet.

Method: Tan and Le, 2019, https://arxiv.org/abs/1905.11946. The lite variant:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite

For inference only: batch normalization is folded into the convolutions as the weights are read.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

IMAGE_SIZE = 224
MEAN, SCALE = 127.0, 128.0
"""The network takes (pixel - MEAN) / SCALE, in the order red, green, blue."""

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of the blocks' depthwise convolutions; all other numbers follow from the shapes of the weights."""

LEVELS = (4, 7, 10, 14, 15)
"""Blocks whose output is part of the features: the last ones of each size, and the one before the last."""

NORM_EPSILON = 1e-3

Weights = Mapping[str, Tensor]
"""A state dict with the names of the package efficientnet-lite-pytorch."""


class EfficientNetLite0(nn.Module):
    """Images (B, 3, 224, 224) to `features`, and those to class logits."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.stem = Convolution(weights, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList(Block(weights, f"_blocks.{n}", stride) for n, stride in enumerate(STRIDES))
        self.head = Convolution(weights, "_conv_head", "_bn1")
        class_count, self.top = weights["_fc.weight"].shape
        self.classifier = nn.Linear(self.top, class_count)
        self.classifier.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})

    def features(self, images: Tensor) -> Tensor:
        """Means over the picture, (B, 2024): of the top, 1280 of them, none negative; then of LEVELS, high to low."""
        maps = self.stem(images)
        levels = []
        for number, block in enumerate(self.blocks):
            maps = block(maps)
            if number in LEVELS:
                levels.append(maps.mean(dim=(2, 3)))
        return torch.cat([self.head(maps).mean(dim=(2, 3)), *reversed(levels)], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Class logits (B, 1000)."""
        logits: Tensor = self.classifier(features[:, : self.top])
        return logits


class Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; added to its input where the shapes allow."""

    def __init__(self, weights: Weights, name: str, stride: int) -> None:
        super().__init__()
        layers = [
            Convolution(weights, f"{name}._depthwise_conv", f"{name}._bn1", stride),
            Convolution(weights, f"{name}._project_conv", f"{name}._bn2", activate=False),
        ]
        if f"{name}._expand_conv.weight" in weights:
            layers.insert(0, Convolution(weights, f"{name}._expand_conv", f"{name}._bn0"))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and layers[0].channels_in == layers[-1].channels_out

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.layers(images)
        return result.add_(images) if self.residual else result


class Convolution(nn.Module):
    """Convolution with folded batch normalization, then ReLU6 if `activate`; one channel in means depthwise."""

    def __init__(self, weights: Weights, conv: str, norm: str, stride: int = 1, *, activate: bool = True) -> None:
        super().__init__()
        weight = weights[f"{conv}.weight"]  # (channels out, channels in of a group, kernel, kernel)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale, shift = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
        folded, self.bias = fuse_conv_bn_weights(weight, None, mean, variance, NORM_EPSILON, scale, shift)
        self.weight = nn.Parameter(_same_padded(folded.detach(), stride), requires_grad=False)
        self.padding = (self.weight.shape[2] - 1) // 2
        self.stride = stride
        self.groups = weight.shape[0] if weight.shape[1] == 1 else 1
        self.activate = activate
        self.channels_in, self.channels_out = weight.shape[1] * self.groups, weight.shape[0]

    def forward(self, images: Tensor) -> Tensor:
        result = functional.conv2d(images, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return functional.relu6(result, inplace=True) if self.activate else result


def _same_padded(weight: Tensor, stride: int) -> Tensor:
    """A kernel that with padding on all sides does what TensorFlow's "SAME" does, channels last (faster on CPUs).

    With stride 2 and even sizes, as all are here, "SAME" pads one pixel less at the left and top; a row and a column of
    zeros in the kernel do the same without a padded copy of the images, which costs a fifth of the time.
    """
    if stride == 2:
        weight = functional.pad(weight, (1, 0, 1, 0))
    return weight.contiguous(memory_format=torch.channels_last)
