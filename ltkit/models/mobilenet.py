"""MobileNet v1 and v2, as commonly ported to CIFAR: 3,217,226 and 2,296,922 parameters with 10 classes.

Prunable by default: all convolutions but the first, depthwise ones included, never the classifier [kit]. Deviations
from the MobileNet papers, all of them the port's: below 64 pixels the first convolution has stride 1, and so has v2's
first stage that would halve the map; v2 has ReLU instead of ReLU6, an expanding 1x1 convolution also where the factor
is 1, and a 1x1 convolution with BatchNorm as shortcut where a block changes the channels but not the size. Images with
both sides at least 64 pixels meet the strides of ImageNet. Every image size works: the convolutions are padded, a
one-pixel map stays one.

Widths are rounded one by one, without the multiples of 8 of mobile hardware, and v2's last 1280 channels are scaled
like all others. Whether a v2 block has a shortcut convolution is decided at width 1, so that the count rises with the
width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .layers import LARGE_FROM, Linear, Unit, fold, scaled, unfold

if TYPE_CHECKING:
    from ..spec import Network

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class Separable(nn.Module):
    """v1's block: a 3x3 convolution within each channel, then 1x1 across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, members: int) -> None:
        super().__init__()
        self.depthwise = Unit(inputs, inputs, 3, members, stride=stride, groups=inputs)
        self.pointwise = Unit(inputs, outputs, 1, members)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class Inverted(nn.Module):
    """v2's block: 1x1 to `factor` times the channels, 3x3 within each, 1x1 without ReLU; a skip at stride 1."""

    def __init__(self, inputs: int, outputs: int, factor: int, stride: int, same: bool, members: int) -> None:
        super().__init__()
        inner = factor * inputs
        self.skips = stride == 1
        self.expand = Unit(inputs, inner, 1, members)
        self.depthwise = Unit(inner, inner, 3, members, stride=stride, groups=inner)
        self.project = Unit(inner, outputs, 1, members, relu=False)
        self.shortcut = (
            nn.Identity() if same or stride != 1 else Unit(inputs, outputs, 1, members, relu=False, role="shortcut")
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return y + self.shortcut(x) if self.skips else y


class MobileNetV1(nn.Module):
    """(R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        self.members = members
        channels = scaled(network.width, 32)
        self.stem = Unit(shape[0], channels, 3, members, stride=_first_stride(shape), role="end")
        self.blocks = nn.Sequential()
        for base, stride in V1:
            outputs = scaled(network.width, base)
            self.blocks.append(Separable(channels, outputs, stride, members))
            channels = outputs
        self.fc = Linear(channels, classes, members, role="end")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(unfold(self.blocks(self.stem(fold(x))).mean((2, 3)), self.members))


class MobileNetV2(nn.Module):
    """(R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        self.members = members
        channels, before = scaled(network.width, 32), 32
        self.stem = Unit(shape[0], channels, 3, members, stride=_first_stride(shape), role="end")
        self.blocks = nn.Sequential()
        for factor, base, repeats, stride in V2:
            outputs = scaled(network.width, base)
            for index in range(repeats):
                here = 1 if index else _first_stride(shape) if base == 24 else stride
                self.blocks.append(Inverted(channels, outputs, factor, here, before == base, members))
                channels, before = outputs, base
        self.head = Unit(channels, scaled(network.width, 1280), 1, members)
        self.fc = Linear(scaled(network.width, 1280), classes, members, role="end")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(unfold(self.head(self.blocks(self.stem(fold(x)))).mean((2, 3)), self.members))


def _first_stride(shape: tuple[int, int, int]) -> int:
    return 2 if min(shape[1:]) >= LARGE_FROM else 1
