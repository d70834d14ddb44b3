"""What a network costs to run."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from ..spec import Network
from . import build
from .layers import Conv, Linear


@lru_cache(maxsize=256)
def multiplications(network: Network, shape: tuple[int, int, int], classes: int) -> int:
    """Multiply-adds of one image's forward pass through the convolutions and linear layers (masks save none)."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        places = output.shape[-1] * output.shape[-2] if isinstance(layer, Conv) else 1
        total += layer.get_parameter("weight").numel() * places

    net = build(network, shape, classes).eval()
    for layer in net.modules():
        if isinstance(layer, Conv | Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():  # a real image: torch would load its compiler, for two seconds, to do without one
        net(torch.zeros(1, 1, *shape))
    return total
