"""Conv-2, Conv-4 and Conv-6 of the lottery ticket paper: small VGG-like networks without BatchNorm.

Pairs of 3x3 convolutions (64-64, 128-128, 256-256), each pair with a 2x2 max pool, then 256-256-classes linear units:
4.3M, 2.4M (2,425,024, mode_connectivity.md section 4) and 2.3M weights on CIFAR-10. Every weight matrix and kernel
is prunable. An image must keep one pixel through all pools: 2, 4 or 8 pixels a side. With norm="batch" a BatchNorm
stands behind each convolution [kit].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Linear, Unit, at_least, fold, scaled, unfold

if TYPE_CHECKING:
    from ..spec import Network

BASES = {"conv2": (64,), "conv4": (64, 128), "conv6": (64, 128, 256)}


class ConvNet(nn.Module):
    """One of `BASES`: (R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        (channels, height, width), bases = shape, BASES[network.arch]
        at_least(network.arch, (height, width), 2 ** len(bases))
        self.members, self.stages = members, len(bases)
        for number, base in enumerate(bases, start=1):
            outputs = scaled(network.width, base)
            pair = [Unit(n, outputs, 3, members, norm=network.norm, bias=True) for n in (channels, outputs)]
            self.add_module(f"stage{number}", nn.Sequential(*pair))
            channels = outputs
        features = channels * (height >> len(bases)) * (width >> len(bases))
        hidden = scaled(network.width, 256)
        self.fc1 = Linear(features, hidden, members)
        self.fc2 = Linear(hidden, hidden, members)
        self.fc3 = Linear(hidden, classes, members)

    def forward(self, x: Tensor) -> Tensor:
        x = fold(x)
        for number in range(1, self.stages + 1):
            x = F.max_pool2d(getattr(self, f"stage{number}")(x), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(unfold(x, self.members))))))
