"""LeNet-300-100 and LeNet-5, with ReLU and max pooling. Every weight matrix and kernel is prunable.

LeNet-5 has 6-16-120-84 units and, as in gradient_flow.md section 4, 5x5 convolutions without padding: 44,190 weights
and 236 biases on 28x28 digits (the original padded 28 to 32 pixels). Images with a side below 28 pixels get padded
("same") convolutions instead, so that 8x8 digits end in a 2x2 map; 4x4 is the smallest image. With norm="batch"
LeNet-5 normalizes behind its convolutions [kit]; LeNet-300-100 has no such variant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Conv, Linear, at_least, fold, normalization, scaled, unfold

if TYPE_CHECKING:
    from ..spec import Network


class LeNet300(nn.Module):
    """Two hidden layers of 300 and 100 units on the flattened image: (R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        one, two = scaled(network.width, 300), scaled(network.width, 100)
        self.fc1 = Linear(shape[0] * shape[1] * shape[2], one, members)
        self.fc2 = Linear(one, two, members)
        self.fc3 = Linear(two, classes, members)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(2))))))


class LeNet5(nn.Module):
    """Two 5x5 convolutions, each with a 2x2 pool, and three linear layers: (R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        channels, size = shape[0], shape[1:]
        at_least(network.arch, size, 4)
        padding = 2 if min(size) < 28 else 0
        one, two, three, four = (scaled(network.width, base) for base in (6, 16, 120, 84))
        self.members = members
        self.conv1 = Conv(channels, one, 5, members, padding=padding, bias=True)
        self.bn1 = normalization(network.norm, one, members)
        self.conv2 = Conv(one, two, 5, members, padding=padding, bias=True)
        self.bn2 = normalization(network.norm, two, members)
        for _ in range(2):
            size = ((size[0] + 2 * padding - 4) // 2, (size[1] + 2 * padding - 4) // 2)
        self.fc1 = Linear(two * size[0] * size[1], three, members)
        self.fc2 = Linear(three, four, members)
        self.fc3 = Linear(four, classes, members)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(fold(x)))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(unfold(x, self.members))))))
