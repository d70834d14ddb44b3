"""VGG-11, -13, -16 and -19 for small images: 3x3 convolutions in five stages, global average pool, one linear layer.

The hidden linear layers of the original are left out, as CIFAR variants do and as gradient_flow.md section 4 says. The
convolutions keep their biases under BatchNorm, which cancels them, as the common ports do: VGG-16 has 14,728,266
parameters on CIFAR-10 (14,724,042 without those biases; existence.md prints 14.72M). Prunable by default: all
convolutions but the first [kit]. A pool on a map that is one pixel high or wide is left out, so that every image size
works: 8x8 digits meet three pools instead of five.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Linear, Role, Unit, fold, scaled, unfold

if TYPE_CHECKING:
    from ..spec import Network

DEPTHS = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
BASES = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """One of `DEPTHS`: (R, B, C, H, W) to (R, B, classes)."""

    def __init__(self, network: Network, shape: tuple[int, int, int], classes: int, members: int) -> None:
        super().__init__()
        self.members = members
        channels, first = shape[0], True
        for number, (depth, base) in enumerate(zip(DEPTHS[network.arch], BASES, strict=True), start=1):
            stage, outputs = nn.Sequential(), scaled(network.width, base)
            for _ in range(depth):
                role: Role = "end" if first else "body"
                stage.append(Unit(channels, outputs, 3, members, norm=network.norm, bias=True, role=role))
                channels, first = outputs, False
            self.add_module(f"stage{number}", stage)
        self.fc = Linear(channels, classes, members, role="end")

    def forward(self, x: Tensor) -> Tensor:
        x = fold(x)
        for number in range(1, len(BASES) + 1):
            x = getattr(self, f"stage{number}")(x)
            if min(x.shape[2:]) > 1:
                x = F.max_pool2d(x, 2)
        return self.fc(unfold(x.mean((2, 3)), self.members))
