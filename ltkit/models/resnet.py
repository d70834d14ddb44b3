"""ResNets: ResNet-8 to -110 for small images (6n + 2 layers, widths 16-32-64), ResNet-18 and -50.

Prunable by default: all convolutions but the first. The classifier never is, BatchNorm and biases never are.

* 6n + 2 layers: n basic blocks a stage. A block that changes the size of its input has a 1x1 convolution with BatchNorm
  as its shortcut, as in existence.md section 2 (ResNet-20: 272,474 parameters, 269,824 of them prunable); the original
  pads with zeros instead (269,722 parameters).
* ResNet-18 and -50: basic and bottleneck blocks, stride in the 3x3 convolution, as commonly trained on ImageNet. Images
  with a side below 64 pixels get a stem of 3x3 at stride 1 without a pool, others 7x7 at stride 2 and a 3x3 pool.

residual=False removes every skip and with it the downsample branch. norm="none" removes BatchNorm and gives the
convolutions biases [kit]. Every image size works: the convolutions are padded, a one-pixel map stays one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import LARGE_FROM, Conv, Linear, Unit, fold, normalization, scaled, unfold

if TYPE_CHECKING:
    from ..spec import Network

SMALL = {f"resnet{depth}": ((depth - 2) // 6,) * 3 for depth in (8, 14, 20, 32, 44, 56, 110)}
LARGE = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1 to four times the width (`bottleneck`), around a skip."""

    def __init__(self, network: Network, inputs: int, width: int, stride: int, bottleneck: bool, members: int) -> None:
        super().__init__()
        norm, bias = network.norm, network.norm == "none"
        outputs = 4 * width if bottleneck else width
        first, second = (1, stride) if bottleneck else (stride, 1)
        self.bottleneck, self.residual = bottleneck, network.residual
        self.conv1 = Conv(inputs, width, 1 if bottleneck else 3, members, stride=first, bias=bias)
        self.bn1 = normalization(norm, width, members)
        self.conv2 = Conv(width, width, 3, members, stride=second, bias=bias)
        self.bn2 = normalization(norm, width, members)
        if bottleneck:
            self.conv3 = Conv(width, outputs, 1, members, bias=bias)
            self.bn3 = normalization(norm, outputs, members)
        self.downsample = (
            Unit(inputs, outputs, 1, members, norm=norm, stride=stride, bias=bias, relu=False, role="shortcut")
            if network.residual and (stride != 1 or inputs != outputs)
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        # In place: nobody else reads what normalization or a sum gave, and the cache still holds it.
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y, inplace=True)))
        return F.relu(y + self.downsample(x) if self.residual else y, inplace=True)


class ResNet(nn.Module):
    """One of `SMALL` or `LARGE`: (R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        depths = {**SMALL, **LARGE}[network.arch]
        large, bottleneck = network.arch in LARGE, network.arch == "resnet50"
        self.members, self.stages = members, len(depths)
        self.large_stem = large and min(shape[1:]) >= LARGE_FROM
        base = 64 if large else 16
        channels, bias = scaled(network.width, base), network.norm == "none"
        kernel, stride = (7, 2) if self.large_stem else (3, 1)
        self.conv1 = Conv(shape[0], channels, kernel, members, stride=stride, bias=bias, role="end")
        self.bn1 = normalization(network.norm, channels, members)
        for number, depth in enumerate(depths, start=1):
            stage, width = nn.Sequential(), scaled(network.width, base * 2 ** (number - 1))
            for index in range(depth):
                stride = 2 if number > 1 and index == 0 else 1
                stage.append(Block(network, channels, width, stride, bottleneck, members))
                channels = 4 * width if bottleneck else width
            self.add_module(f"stage{number}", stage)
        self.fc = Linear(channels, classes, members, role="end")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(fold(x))), inplace=True)
        if self.large_stem:
            x = F.max_pool2d(x, 3, 2, 1)
        for number in range(1, self.stages + 1):
            x = getattr(self, f"stage{number}")(x)
        return self.fc(unfold(x.mean((2, 3)), self.members))
